package livestream.twin;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import java.time.Duration;

/** Statistics that stand still: beside it read livestream/services/blockchain.py. */
@Path("/api/v11/blockchain")
@Produces(MediaType.APPLICATION_JSON)
public class BlockchainResource {

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long LAST_INCIDENT_AGE_MS = Duration.ofDays(7).toMillis();
    /** In the order of the original's answer. The three zeros are the times that move. */
    private static final String SNAPSHOT = """
            {
              "totalTransactions": 125678543,
              "advancedFeatures": {
                "quantumResistant": true, "aiOptimizationEnabled": true, "anomalyDetectionActive": true,
                "quantumAlgorithm": "CRYSTALS-Dilithium", "mlConsensusOptimization": true
              },
              "networkHealth": {
                "consensusHealth": "OPTIMAL", "status": "HEALTHY", "uptime": 99.97, "peers": 145,
                "activePeers": 132, "lastIncident": 0
              },
              "validatorStats": {
                "active": 121, "activeStake": "23500000 AUR", "total": 127, "standby": 6,
                "totalStake": "25000000 AUR", "stakingRatio": 68.5
              },
              "storage": {
                "stateSize": "856 GB", "archiveNodeSupport": true, "pruningEnabled": true,
                "growthRate24h": "12.5 GB", "chainSize": "2.4 TB"
              },
              "transactionStats": {
                "lastHour": 6509783, "currentTPS": 1808267, "last24h": 156234789, "peakTPS": 2156789,
                "averageTPS": 1450234, "lastMinute": 108496
              },
              "latestBlockTimestamp": 0,
              "performance": {
                "averageLatency": 42.3, "p95Latency": 95.2, "p99Latency": 145.7, "finalizationTime": 485,
                "p50Latency": 38.5, "blockPropagationTime": 125
              },
              "apiVersion": "11.0.0",
              "currentHeight": 1450789,
              "averageBlockTime": 2.05,
              "totalBlocks": 1450789,
              "economic": {
                "burnedTokens": "125000000", "totalFeesCollected24h": "145678.50",
                "circulatingSupply": "3575000000", "totalSupply": "10000000000", "averageTransactionFee": "0.00085"
              },
              "timestamp": 0
            }""";

    @GET
    @Path("stats")
    public Response getBlockchainStats() throws JsonProcessingException {
        long now = System.currentTimeMillis();
        ObjectNode stats = (ObjectNode) JSON.readTree(SNAPSHOT);
        // To put a key that is there changes its value and not its place.
        stats.put("timestamp", now).put("latestBlockTimestamp", now);
        stats.withObject("/networkHealth").put("lastIncident", now - LAST_INCIDENT_AGE_MS);
        return Response.ok(stats).build();
    }
}
