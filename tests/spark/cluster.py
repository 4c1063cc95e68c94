"""A standalone Spark on loopback: a master, workers, and killing them so that it shows."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import pyspark

_HOME = os.path.dirname(pyspark.__file__)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, ready, seconds=120):
    begun = time.monotonic()
    while not ready():
        if time.monotonic() - begun > seconds:
            raise SystemExit(f"{what}: not within {seconds} seconds")
        time.sleep(0.1)


def children_of(process):
    """Processes below one, with their command lines."""
    parents, words = {}, {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                parents[int(entry)] = int(stat.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{entry}/cmdline", "rb") as line:
                words[int(entry)] = line.read().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
    below, new = {}, {process}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new and pid not in below}
        below.update((pid, words.get(pid, "")) for pid in new)
    return below


def is_alive(process):
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill(process):
    """Kills what lives; whether it was alive before and is not after."""
    if not is_alive(process):
        return False
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        # It ended by itself in between, as what others begin does when they end.
        return False
    wait_for(f"end of {process}", lambda: not is_alive(process), 10)
    return True


def resident_bytes(process):
    try:
        with open(f"/proc/{process}/statm") as memory:
            return int(memory.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


class Memory:
    """The most that any executor had resident while this was entered: its JVM, and all of its
    Python workers together, whose shared pages count for each."""

    def __init__(self, cluster):
        self._cluster = cluster
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.jvm = self.python = self.samples = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _watch(self):
        while not self._done.wait(0.2):
            for _, executor in self._cluster.executors():
                self.samples += 1
                self.jvm = max(self.jvm, resident_bytes(executor))
                below = sum(map(resident_bytes, children_of(executor)))
                self.python = max(self.python, below)


class Cluster:
    """Ends what it began, and nothing else."""

    def __init__(self, folder, python):
        self._folder = folder
        self._environment = {
            **os.environ,
            "SPARK_HOME": _HOME,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": os.path.join(folder, "local"),
            "SPARK_WORKER_DIR": os.path.join(folder, "work"),
            "PYSPARK_PYTHON": python,
        }
        self._page = free_port()
        port = free_port()
        self.url = f"spark://127.0.0.1:{port}"
        self._processes = []
        self.workers = []
        try:
            self._start(
                "master.Master", "--host", "127.0.0.1", "--port", str(port),
                "--webui-port", str(self._page),
            )
            wait_for("the master", lambda: self._alive_workers() == 0)
            for _ in range(2):
                self.add_worker()
            self.wait_for_workers()
        except BaseException:
            self.stop()
            raise

    def _start(self, name, *words):
        log = open(os.path.join(self._folder, "spark.log"), "ab")
        command = [f"{_HOME}/bin/spark-class", f"org.apache.spark.deploy.{name}", *words]
        process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        self._processes.append(process)
        return process

    def add_worker(self):
        self.workers.append(self._start(
            "worker.Worker", "--host", "127.0.0.1", "--port", str(free_port()),
            "--webui-port", str(free_port()), "--cores", "1", "--memory", "1g", self.url,
        ))

    def _alive_workers(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._page}/json/", timeout=5) as page:
                return json.load(page)["aliveworkers"]
        except (OSError, ValueError):
            # Not there yet, or there and not ready.
            return None

    def wait_for_workers(self):
        wait_for("two workers", lambda: (self._alive_workers() or 0) >= 2)

    def executors(self):
        """Executors, each with the worker it is of."""
        found = []
        for worker in self.workers:
            for pid, words in children_of(worker.pid).items():
                if "CoarseGrainedExecutorBackend" in words and " -cp " in words:
                    found.append((worker, pid))
        return found

    def kill_worker(self):
        """Kills a worker and its executor, who holds the files of what it mapped."""
        for worker, executor in self.executors():
            died = [kill(executor), kill(worker.pid)]
            worker.wait()
            self.workers.remove(worker)
            self.add_worker()
            return all(died)
        return False

    def kill_python(self):
        """Kills the Python workers of an executor, not the daemon that begins them."""
        for _, executor in self.executors():
            daemons = [pid for pid, words in children_of(executor).items() if "pyspark.daemon" in words]
            workers = [pid for pid in daemons if any(pid in children_of(other) for other in daemons)]
            if workers:
                return all([kill(pid) for pid in workers])
        return False

    def stop(self):
        for process in reversed(self._processes):
            for pid in children_of(process.pid):
                kill(pid)
            if process.poll() is None:
                process.kill()
            process.wait()
