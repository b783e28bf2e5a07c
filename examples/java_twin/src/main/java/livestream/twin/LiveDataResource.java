package livestream.twin;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import jakarta.inject.Inject;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.PathParam;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;

/**
 * The validators and the stream's statistics over HTTP: beside it read livestream/web/rest.py.
 *
 * There the refusals (405, 406, the 404 page), OPTIONS, HEAD and trailing slashes are code; here Quarkus does them.
 * Each method returns a Response and not its JSON, or HEAD would name a charset, which the original's does not.
 */
@Path("/api/v11")
@Produces(MediaType.APPLICATION_JSON)
public class LiveDataResource {

    @Inject
    LiveValidatorsService validators;

    @GET
    @Path("live/validators")
    public Response getLiveValidatorStatus() {
        return Response.ok(validators.getLiveValidatorStatus()).build();
    }

    @GET
    @Path("live/validators/health")
    public Response getValidatorsHealth() {
        return Response.ok(validators.health()).build();
    }

    @GET
    @Path("live/validators/{id}")
    public Response getValidatorById(@PathParam("id") String id) {
        return validators.getValidatorById(id)
                .map(validator -> Response.ok(validator).build())
                .orElseGet(() -> Response.status(Response.Status.NOT_FOUND).entity(notFound(id)).build());
    }

    /** The original computes these and serves them nowhere; its test plan expects them here. */
    @GET
    @Path("websocket/stats")
    public Response getConnectionStats() {
        return Response.ok(LiveStreamWebSocket.getConnectionStats()).build();
    }

    private static ObjectNode notFound(String id) {
        return JsonNodeFactory.instance.objectNode()
                .put("errorCode", "NOT_FOUND")
                .put("message", "Validator not found with ID: " + id)
                .put("requestedResource", id);
    }
}
