package livestream.twin;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import jakarta.websocket.OnClose;
import jakarta.websocket.OnError;
import jakarta.websocket.OnMessage;
import jakarta.websocket.OnOpen;
import jakarta.websocket.Session;
import jakarta.websocket.server.ServerEndpoint;
import java.io.IOException;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import org.jboss.logging.Logger;

/**
 * The live stream's endpoint: beside it read livestream/stream/endpoint.py, then broadcast.py; the order is theirs.
 *
 * The container calls the four `on…` methods, for one connection one at a time. On which thread it does so is the
 * line of application.properties that makes this service speak or be mute. The faults are the original's, on purpose.
 */
@ServerEndpoint("/api/v11/live/stream")
@ApplicationScoped
public class LiveStreamWebSocket {

    private static final Logger LOG = Logger.getLogger(LiveStreamWebSocket.class);
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Every connection there ever was: nobody removes an entry. */
    private static final Map<String, WebSocketConnection> connections = new ConcurrentHashMap<>();
    /** What the map's size should be. The two are separate things, and so they can disagree. */
    private static final AtomicInteger activeConnections = new AtomicInteger();

    @Inject
    LiveValidatorsService validators;

    /** A UUID, the counter, the registry entry, the welcome, and `tps_updates` unasked. */
    @OnOpen
    public void onOpen(Session session) {
        String connectionId = UUID.randomUUID().toString();
        activeConnections.incrementAndGet();
        connections.put(connectionId, new WebSocketConnection(connectionId, now(), Set.of()));
        try {
            send(session, "connection_established",
                    object().put("connectionId", connectionId).put("timestamp", now()));
            startBroadcasting(session, "tps_updates");
        } catch (IOException | RuntimeException e) {
            // Under `shipped` every connection ends up here: a welcome that can't be sent starts no thread either.
            LOG.errorf("welcome not sent: %s", e);
        }
    }

    /** One text message: subscribe, unsubscribe, ping, or silence. */
    @OnMessage
    public void onMessage(String text, Session session) {
        try {
            JsonNode message = JSON.readTree(text);
            // `path` and `asText` never fail: what is no object, or has no type, has the type "".
            switch (message.path("type").asText()) {
                case "subscribe" -> handleSubscribe(session, message);
                case "unsubscribe" -> handleUnsubscribe(session, message);
                case "ping" -> handlePing(session);
                default -> { }
            }
        } catch (JsonProcessingException e) {
            sendErrorMessage(session, "Invalid message format");
        } catch (IOException | RuntimeException e) {
            LOG.errorf("message not answered: %s", e);
        }
    }

    /** The counter goes down. The entry stays, and the channel threads sleep on until they notice. */
    @OnClose
    public void onClose(Session session) {
        LOG.infof("connection closed: %s", session.getId());
        activeConnections.decrementAndGet();
    }

    /**
     * One off the counter, and onClose takes one more: an error counts twice, if it comes here at all. The container
     * starts both at the same time on two threads, and drops this call when onClose is done first.
     */
    @OnError
    public void onError(Session session, Throwable error) {
        LOG.errorf("connection lost: %s", error);
        activeConnections.decrementAndGet();
    }

    /** Confirmed, then one new thread; also for a channel that has one, or that is unknown. */
    private void handleSubscribe(Session session, JsonNode message) throws IOException {
        if (!message.has("channel")) {
            sendErrorMessage(session, "Channel not specified");
            return;
        }
        String channel = message.get("channel").asText();
        send(session, "subscription_confirmed", object().put("channel", channel).put("status", "subscribed"));
        startBroadcasting(session, channel);
    }

    /** Nothing: no answer, and no thread stops. */
    private void handleUnsubscribe(Session session, JsonNode message) {
        LOG.debugf("unsubscribe: %s", message.path("channel").asText());
    }

    /** Answers with a pong message; a Ping frame is the container's affair. */
    private void handlePing(Session session) throws IOException {
        send(session, "pong", object().put("timestamp", now()));
    }

    /** Starts the channel's thread, one more of the operating system's for every call. */
    private void startBroadcasting(Session session, String channel) {
        Runnable broadcast = switch (channel) {
            case "tps_updates" -> () -> broadcastTPSUpdates(session);
            case "block_updates" -> () -> broadcastBlockUpdates(session);
            case "network_status" -> () -> broadcastNetworkStatus(session);
            case "validator_metrics" -> () -> broadcastValidatorMetrics(session);
            default -> null;
        };
        if (broadcast != null) {
            Thread.ofPlatform().daemon().name(channel + "-" + session.getId()).start(broadcast);
        }
    }

    /** Sends an `error` message; the connection goes on. */
    private void sendErrorMessage(Session session, String error) {
        try {
            send(session, "error", object().put("error", error));
        } catch (IOException | RuntimeException e) {
            LOG.errorf("error not sent: %s", e);
        }
    }

    /** The counter, which may be negative, and the registry's size, which only grows. */
    public static ObjectNode getConnectionStats() {
        return object()
                .put("active_connections", activeConnections.get())
                .put("total_connections", connections.size());
    }

    private void broadcastTPSUpdates(Session session) {
        broadcast(session, "tps_update", 1_000, () -> object()
                .put("currentTPS", random(776_000, 826_000))
                .put("peakTPS", 800_000)
                .put("averageTPS", 750_000)
                .put("latency", random(40, 60)));
    }

    private void broadcastBlockUpdates(Session session) {
        broadcast(session, "block_update", 2_000, () -> object()
                .put("blockHeight", 12_345)
                .put("blockTime", 1_000)
                .put("transactions", 500)
                .put("producer", "validator-1"));
    }

    private void broadcastNetworkStatus(Session session) {
        broadcast(session, "network_update", 3_000, () -> object()
                .put("activeNodes", 64)
                .put("totalNodes", 100)
                .put("networkHealth", "healthy")
                .put("avgLatency", 42));
    }

    private void broadcastValidatorMetrics(Session session) {
        broadcast(session, "validator_update", 5_000, () -> validators.totals());
    }

    /** A thread's whole life. It sleeps after each send, so work and wake-up time add up: a fixed delay. */
    private void broadcast(Session session, String type, long intervalMs, Supplier<ObjectNode> payload) {
        try {
            while (session.isOpen()) {
                send(session, type, payload.get());
                Thread.sleep(intervalMs);
            }
        } catch (IOException | InterruptedException | RuntimeException e) {
            LOG.debugf("%s ended: %s", type, e);
        }
    }

    /** Blocks until the message is written: a client that doesn't read holds up its own threads and nobody else's. */
    private void send(Session session, String type, ObjectNode payload) throws IOException {
        session.getBasicRemote().sendText(JSON.writeValueAsString(new WebSocketMessage(type, payload, now())));
    }

    private static ObjectNode object() {
        return JSON.createObjectNode();
    }

    private static int random(int from, int to) {
        return ThreadLocalRandom.current().nextInt(from, to);
    }

    private static long now() {
        return System.currentTimeMillis();
    }

    /** A registry entry. Nothing ever writes to `subscribedChannels`. */
    record WebSocketConnection(String connectionId, long connectedAt, Set<String> subscribedChannels) { }

    /** What every message looks like on the wire, in this order. */
    record WebSocketMessage(String type, ObjectNode payload, long timestamp) { }
}
