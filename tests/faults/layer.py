"""The layer of faults under a server (faults.h): rules that a test sets while the server runs, power cuts."""
import mmap, os, struct, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from server import Server  # noqa: E402

OPEN, READ, WRITE, SYNC, SYNC_DIR, RENAME, REMOVE, CREATE = (1 << i for i in range(8))
ERROR, SHORT, TORN, CUT, KILL, WAIT, FLIP, LOST, SHIFT = range(9)
HEAD, RULE = struct.Struct("<IIIIqQQ"), struct.Struct("<IIiIQQQ64s")
RULES, FOREVER = 8, 1 << 60


class FaultyServer(Server):
    """A server whose store lies on a disk that does as it is told."""

    def __init__(self, binary, layer, jetstream="", conf="", seed=1, **options):
        directory = tempfile.mkdtemp(prefix="hw-faults-")
        os.mkdir(f"{directory}/undo")
        self.control_path = f"{directory}/control"
        with open(self.control_path, "wb") as file:
            file.write(bytes(HEAD.size + RULES * RULE.size))
        with open(self.control_path, "r+b") as file:
            self.control = mmap.mmap(file.fileno(), 0)
        env = {"LD_PRELOAD": layer, "FAULTS_DIR": f"{directory}/store", "FAULTS_CONTROL": self.control_path, "FAULTS_UNDO": f"{directory}/undo"}
        super().__init__(binary, jetstream=jetstream or " checkpoint_bytes: 0\n", conf=conf, directory=directory, env=env, monitor=True, **options)
        self.owns_dir = True
        self.put(0, seed)

    def put(self, index, value):
        """One of: 0 seed, 1 is_tracking, 2 cut_now, 3 is_full."""
        struct.pack_into("<I", self.control, index * 4, value)

    def track(self):
        self.put(1, 1)

    def full(self, is_full):
        self.put(3, int(is_full))

    def shift_clock(self, seconds):
        struct.pack_into("<q", self.control, 16, int(seconds * 1e9))

    @property
    def calls(self):
        return HEAD.unpack_from(self.control)[5]

    def rule(self, ops, kind=ERROR, error=5, skip=0, count=FOREVER, pattern="", slot=0):
        at = HEAD.size + slot * RULE.size
        RULE.pack_into(self.control, at, 0, kind, error, 0, skip, count, 0, pattern.encode())
        struct.pack_into("<I", self.control, at, ops)

    def hits(self, slot=0):
        return RULE.unpack_from(self.control, HEAD.size + slot * RULE.size)[6]

    def wait_for_hit(self, slot=0, timeout=10):
        end = time.monotonic() + timeout
        while not self.hits(slot):
            if time.monotonic() > end:
                raise TimeoutError("the fault never happened")
            time.sleep(0.002)

    def heal(self):
        for slot in range(RULES):
            struct.pack_into("<I", self.control, HEAD.size + slot * RULE.size, 0)
        self.full(False)

    def wait_dead(self, timeout):
        try:
            self.process.wait(timeout)
            return True
        except Exception:
            return False

    def cut(self):
        """The machine loses power. What is left is what a disk may leave."""
        self.put(2, 1)
        self.wait_dead(2)  # a server that does nothing with its disk is only killed
        self.kill()
        self.after_cut()

    def after_cut(self):
        self.put(2, 0)
        self.heal()
        for name in os.listdir(f"{self.dir}/undo"):
            os.remove(f"{self.dir}/undo/{name}")

    def store(self, *names):
        base = f"{self.dir}/store"
        base = f"{base}/jetstream" if os.path.isdir(f"{base}/jetstream") else base
        return os.path.join(base, *names)
