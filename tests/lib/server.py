"""Starts a server binary for a test: own directory, any free port, ended by its pid."""
import json, os, shutil, signal, subprocess, tempfile, time, urllib.request


class Server:
    """with Server(binary, conf='jetstream {...}') as server: server.port, server.monitor, server.dir"""

    def __init__(self, binary, conf="", args=(), directory=None, jetstream=True, monitor=False, env=None, wait=30):
        self.binary, self.conf, self.args, self.wait = str(binary), conf, list(args), wait
        self.dir = directory or tempfile.mkdtemp(prefix="hw-test-")
        self.owns_dir = directory is None
        self.jetstream, self.monitor_wanted = jetstream, monitor
        self.env = dict(os.environ, **(env or {}))
        self.process = self.port = self.monitor = None

    def start(self):
        conf = f'{self.dir}/server.conf'
        text = 'listen: "127.0.0.1:-1"\n'
        if self.monitor_wanted:
            text += 'http: "127.0.0.1:-1"\n'
        if self.jetstream:
            more = self.jetstream if isinstance(self.jetstream, str) else ""
            text += 'jetstream {\n store_dir: "%s/store"\n%s}\n' % (self.dir, more)
        with open(conf, "w") as file:
            file.write(text + self.conf)
        for name in os.listdir(self.dir):
            if name.endswith(".ports"):
                os.remove(f"{self.dir}/{name}")
        self.log = open(f"{self.dir}/log", "ab")
        self.process = subprocess.Popen([self.binary, "-c", conf, "--ports_file_dir", self.dir, *self.args],
                                        stdout=self.log, stderr=self.log, env=self.env)
        self.log.close()
        end = time.monotonic() + self.wait
        while True:
            ports = [n for n in os.listdir(self.dir) if n.endswith(f"_{self.process.pid}.ports")]
            if ports:
                try:
                    with open(f"{self.dir}/{ports[0]}") as file:
                        self.ports = json.load(file)
                    break
                except ValueError:
                    pass
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.binary} did not start:\n{self.log_text()[-2000:]}\n{self.stacks()}")
            time.sleep(0.005)
        self.port = int(self.ports["nats"][0].rsplit(":", 1)[1])
        if self.monitor_wanted:
            self.monitor = self.ports["monitoring"][0]
        return self

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def log_text(self):
        with open(f"{self.dir}/log", errors="replace") as file:
            return file.read()

    def stacks(self):
        """Where the threads of a server stand that does not answer."""
        if self.process.poll() is not None or not shutil.which("gdb"):
            return ""
        return subprocess.run(["gdb", "-p", str(self.process.pid), "-batch", "-ex", "thread apply all bt 25"], capture_output=True, text=True).stdout[-6000:]

    def get(self, path):
        with urllib.request.urlopen(self.monitor + path, timeout=10) as response:
            return json.loads(response.read())

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def stop(self, timeout=20):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return code

    def close(self):
        self.stop()
        if self.owns_dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind, *_):
        was_running = self.process is not None and self.process.poll() is None
        code, log = self.stop(), self.log_text()
        self.close()
        if kind is None and was_running and code:  # a crash on the way out, or what a sanitizer found
            raise RuntimeError(f"{self.binary} ended with {code}:\n{log[-4000:]}")
