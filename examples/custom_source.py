"""How does the stream carry real figures?

This machine's own, under the names that every client of the stream knows.
"""

import os
from pathlib import Path

from livestream import Settings, StreamClient
from livestream.app import LiveServer


class Machine:
    def tps_update(self):  # load of the last minute and quarter of an hour, in percent of a processor
        now, _, quarter = (round(100 * load) for load in os.getloadavg())
        return {"currentTPS": now, "peakTPS": 100 * os.cpu_count(), "averageTPS": quarter, "latency": 0}

    def block_update(self):  # seconds since the start, packets received
        packets = sum(int(row.split()[2]) for row in Path("/proc/net/dev").read_text().splitlines()[2:])
        seconds = int(float(Path("/proc/uptime").read_text().split()[0]))
        return {"blockHeight": seconds, "blockTime": 1000, "transactions": packets, "producer": os.uname()[1]}

    def network_update(self):  # processes
        running, total = map(int, Path("/proc/loadavg").read_text().split()[3].split("/"))
        return {"activeNodes": running, "totalNodes": total, "networkHealth": "healthy", "avgLatency": 0}

    def validator_update(self):  # memory, in kilobytes
        total, _, free = (int(row.split()[1]) for row in Path("/proc/meminfo").read_text().splitlines()[:3])
        counts = {"totalValidators": total, "activeValidators": total - free, "inactiveValidators": free}
        return {**counts, "jailedValidators": 0}


create = Machine
if __name__ == "__main__":
    settings = Settings(host="127.0.0.1", port=0, source="custom_source:create")
    with LiveServer(settings) as server, StreamClient(server.url()) as client:
        client.subscribe("validator_metrics")
        print(next(message.payload for message in client if message.type == "validator_update"))
