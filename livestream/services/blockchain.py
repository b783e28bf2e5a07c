"""The fixed snapshot behind GET /api/v11/blockchain/stats (SPEC, "REST"; values from the corpus)."""

from collections.abc import Callable
from typing import Final

from livestream.services.interfaces import Payload

NS_PER_MS: Final = 1_000_000
LAST_INCIDENT_AGE_MS: Final = 7 * 24 * 60 * 60 * 1000


class BlockchainStatsService:
    """Statistics that stand still: only three times move. `time_ns` gives nanoseconds since 1970."""

    def __init__(self, time_ns: Callable[[], int]) -> None:
        self._time_ns = time_ns

    def get_blockchain_stats(self) -> Payload:
        """The body of GET /api/v11/blockchain/stats, keys in the recorded order, times in ms since 1970."""
        now_ms = self._time_ns() // NS_PER_MS
        return {
            "totalTransactions": 125_678_543,
            "advancedFeatures": {
                "quantumResistant": True,
                "aiOptimizationEnabled": True,
                "anomalyDetectionActive": True,
                "quantumAlgorithm": "CRYSTALS-Dilithium",
                "mlConsensusOptimization": True,
            },
            "networkHealth": {
                "consensusHealth": "OPTIMAL",
                "status": "HEALTHY",
                "uptime": 99.97,
                "peers": 145,
                "activePeers": 132,
                "lastIncident": now_ms - LAST_INCIDENT_AGE_MS,
            },
            "validatorStats": {
                "active": 121,
                "activeStake": "23500000 AUR",
                "total": 127,
                "standby": 6,
                "totalStake": "25000000 AUR",
                "stakingRatio": 68.5,
            },
            "storage": {
                "stateSize": "856 GB",
                "archiveNodeSupport": True,
                "pruningEnabled": True,
                "growthRate24h": "12.5 GB",
                "chainSize": "2.4 TB",
            },
            "transactionStats": {
                "lastHour": 6_509_783,
                "currentTPS": 1_808_267,
                "last24h": 156_234_789,
                "peakTPS": 2_156_789,
                "averageTPS": 1_450_234,
                "lastMinute": 108_496,
            },
            "latestBlockTimestamp": now_ms,
            "performance": {
                "averageLatency": 42.3,
                "p95Latency": 95.2,
                "p99Latency": 145.7,
                "finalizationTime": 485,
                "p50Latency": 38.5,
                "blockPropagationTime": 125,
            },
            "apiVersion": "11.0.0",
            "currentHeight": 1_450_789,
            "averageBlockTime": 2.05,
            "totalBlocks": 1_450_789,
            "economic": {
                "burnedTokens": "125000000",
                "totalFeesCollected24h": "145678.50",
                "circulatingSupply": "3575000000",
                "totalSupply": "10000000000",
                "averageTransactionFee": "0.00085",
            },
            "timestamp": now_ms,
        }
