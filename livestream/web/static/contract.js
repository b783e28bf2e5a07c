// The page's part of what the wire agrees on; a test holds it against contract.py.

export const STREAM_PATH = "/api/v11/live/stream";
export const STATS_PATH = "/api/v11/blockchain/stats";
export const THREADS_PATH = "/lab/threads";
export const PROFILES_PATH = "/lab/profiles";
export const INITIAL_CHANNEL = "tps_updates";
/** The subprotocol that comes before a token. */
export const BEARER = "bearer";

/** Channels with the type of their updates and how often they come, in seconds. */
export const CHANNELS = [
  { name: "tps_updates", type: "tps_update", seconds: 1 },
  { name: "block_updates", type: "block_update", seconds: 2 },
  { name: "network_status", type: "network_update", seconds: 3 },
  { name: "validator_metrics", type: "validator_update", seconds: 5 },
];
