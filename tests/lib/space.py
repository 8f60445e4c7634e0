"""How much of the disk a store takes."""
import glob, os, time

SMALL = " segment_bytes: 1M\n checkpoint_bytes: 1M\n"


def log_bytes(server):
    total = 0
    for path in glob.glob(f"{server.dir}/store/**/log/*", recursive=True):
        try:
            total += os.path.getsize(path)
        except FileNotFoundError:
            pass  # given up just now
    return total


def until_below(server, most, seconds=60):
    end = time.monotonic() + seconds
    while log_bytes(server) > most:
        assert time.monotonic() < end, (log_bytes(server), most, server.get("/jsz")["hw_store"])
        time.sleep(0.2)
