"""A client that remembers what was acknowledged, and checks all of it.

Each key belongs to one thread, which does one operation after the other on
it.  So the states that a key may be in are known: what was acknowledged last,
and what was tried after that without a clear answer.  A key that got no answer
at all is not written to again: the server may still be at it.
"""

import base64
import collections
import concurrent.futures
import hashlib
import hmac
import http.client
import random
import socket
import threading
import time
import traceback
import urllib.parse
import xml.etree.ElementTree as ET

from faults import KEYS

REGION = "us-east-1"
DECIDED = 3     # seconds: what a dead process left is decided by then
SIZES = (0, 1024, 1024, 65536, 300 * 1024, 3 * 1024 * 1024)

State = collections.namedtuple("State", "seed size tag")   # None: no object
Answer = collections.namedtuple("Answer", "status headers body")


def content(seed, size):
    if size == 0:
        return b""
    return random.Random(seed).randbytes(size)


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed(method, host, path, query, headers):
    """Headers with a signature; the payload is not signed."""
    now = time.gmtime()
    date, stamp = time.strftime("%Y%m%d", now), time.strftime("%Y%m%dT%H%M%SZ",
                                                              now)
    headers = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", **headers,
               "host": host, "x-amz-date": stamp}
    names = sorted(headers)
    canonical = "\n".join(
        [method, urllib.parse.quote(path), query,
         *(f"{n}:{headers[n]}" for n in names), "", ";".join(names),
         headers["x-amz-content-sha256"]])
    scope = f"{date}/{REGION}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + KEYS[1].encode()
    for part in (date, REGION, "s3", "aws4_request"):
        key = _hmac(key, part)
    signature = _hmac(key, text).hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEYS[0]}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}")
    return headers


class Client:
    """One connection, kept alive.  None for an answer: there was none."""

    def __init__(self, port, timeout=60, retry=True):
        self.host = f"127.0.0.1:{port}"
        self.port = port
        self.timeout = timeout
        self.retry = retry      # where a connection ends before an answer
        self.connection = None
        self.used = 0
        self.resets = 0

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def _once(self, method, target, headers, body):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=self.timeout)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP,
                                            socket.TCP_NODELAY, 1)
            self.used = 0
        c = self.connection
        c.request(method, target, body=body, headers=headers)
        r = c.getresponse()
        data = r.read()
        self.used += 1
        if r.getheader("connection", "").lower() == "close":
            self.close()
        return Answer(r.status, {k.lower(): v for k, v in r.getheaders()},
                      data)

    def ask(self, method, path, query="", headers=None, body=None):
        """An Answer, or None; with `retry` an idle connection that turns out
        to be closed is opened again, as every SDK does."""
        headers = signed(method, self.host, path, query, headers or {})
        target = urllib.parse.quote(path) + ("?" + query if query else "")
        if body is None and method in ("PUT", "POST"):
            body = b""
        while True:
            fresh = self.connection is None or self.used == 0
            try:
                return self._once(method, target, headers, body)
            except (OSError, http.client.HTTPException, socket.timeout) as e:
                self.close()
                gone = isinstance(e, (http.client.RemoteDisconnected,
                                      BrokenPipeError, ConnectionResetError))
                if self.retry and gone and not fresh:
                    self.resets += 1
                    continue
                self.error = repr(e)
                return None


class Worker(threading.Thread):
    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load = load
        self.number = number
        self.random = random.Random(f"{load.seed}/{number}")
        self.client = Client(load.port, load.timeout, retry=load.retry)
        self.keys = {}          # key: list of States that are possible
        self.settled = set()    # keys whose last operation was lost
        self.made = 0
        self.shared = [self.new_key("few") for _ in range(3)]
        self.recent = []
        self.times = []         # (end, seconds, status or 0, what)
        self.wrong = []

    def new_key(self, prefix="one"):
        self.made += 1
        key = f"{prefix}/{self.number}/{self.made}"
        self.keys[key] = [None]
        return key

    def pick(self):
        """A key to be written to."""
        i = self.random.randrange(3)
        if self.random.random() < 0.5:
            if self.shared[i] in self.settled:
                self.shared[i] = self.new_key("few")
            return self.shared[i]
        key = self.new_key()
        self.recent = (self.recent + [key])[-20:]
        return key

    def known(self):
        """A key that has an object for certain, or None."""
        for _ in range(5):
            key = self.random.choice(self.recent + self.shared)
            states = self.keys[key]
            if len(states) == 1 and states[0] and key not in self.settled:
                return key
        return None

    def ask(self, what, method, key, query="", headers=None, body=None):
        begin = time.monotonic()
        answer = self.client.ask(method, f"/{self.load.bucket}/{key}", query,
                                 headers, body)
        end = time.monotonic()
        self.times.append((end, end - begin, answer.status if answer else 0,
                           what))
        if answer and answer.status in (500, 501) or \
                answer and answer.status >= 400 and answer.status not in (
                    404, 412, 409, 503, 507):
            self.wrong.append(f"{what} {key}: {answer.status} "
                              f"{answer.body[:300]}")
        return answer

    def outcome(self, key, new, answer, good=(200, 204)):
        """What a write of `new` to the key has come to."""
        if answer is None:
            self.keys[key].append(new)
            self.settled.add(key)
        elif answer.status in good:
            self.keys[key] = [new]
            return True
        elif answer.status >= 500:
            self.keys[key].append(new)
        return False

    def state(self):
        return State(self.random.getrandbits(64),
                     self.random.choice(self.load.sizes), "")

    def put(self):
        key, new = self.pick(), self.state()
        self.outcome(key, new, self.ask("put", "PUT", key, body=content(
            new.seed, new.size)))

    def put_if_none(self):
        key, new = self.new_key(), self.state()
        answer = self.ask("put if none", "PUT", key, headers={
            "if-none-match": "*"}, body=content(new.seed, new.size))
        self.outcome(key, new, answer)
        if answer and answer.status == 412:
            self.wrong.append(f"{key}: 412 for a key that never was")

    def put_if_match(self):
        key = self.known()
        if key is None:
            return self.put()
        old, new = self.keys[key][0], self.state()
        answer = self.ask("put if match", "PUT", key, headers={
            "if-match": '"%s"' % etag(old)},
            body=content(new.seed, new.size))
        if answer and answer.status in (404, 412):
            self.wrong.append(f"{key}: {answer.status}, but it was "
                              f"acknowledged as {old}")
        self.outcome(key, new, answer)

    def copy(self):
        source = self.known()
        if source is None:
            return self.put()
        key, new = self.new_key(), self.keys[source][0]
        answer = self.ask("copy", "PUT", key, headers={
            "x-amz-copy-source": f"/{self.load.bucket}/{source}"})
        self.outcome(key, new, answer)
        if answer and answer.status == 404:
            self.wrong.append(f"{source}: acknowledged, cannot be copied")

    def tag(self):
        key = self.known()
        if key is None:
            return self.put()
        value = "t%d" % self.random.getrandbits(40)
        new = self.keys[key][0]._replace(tag=value)
        body = (f"<Tagging><TagSet><Tag><Key>t</Key><Value>{value}</Value>"
                "</Tag></TagSet></Tagging>").encode()
        answer = self.ask("tag", "PUT", key, "tagging=", {
            "content-md5": base64.b64encode(
                hashlib.md5(body).digest()).decode()}, body)
        self.outcome(key, new, answer)
        if answer and answer.status == 404:
            self.wrong.append(f"{key}: acknowledged, cannot be tagged")

    def delete(self):
        key = self.known()
        if key is None:
            return self.put()
        self.outcome(key, None, self.ask("delete", "DELETE", key))

    def multipart(self):
        key, new = self.new_key(), self.state()
        answer = self.ask("create upload", "POST", key, "uploads=")
        if answer is None or answer.status != 200:
            return
        upload = ET.fromstring(answer.body).find("{*}UploadId").text
        data = content(new.seed, new.size)
        answer = self.ask("part", "PUT", key,
                          f"partNumber=1&uploadId={upload}", body=data)
        if answer is None or answer.status != 200:
            return
        body = ("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
                f"<ETag>{answer.headers['etag']}</ETag></Part>"
                "</CompleteMultipartUpload>").encode()
        self.outcome(key, new, self.ask("complete", "POST", key,
                                        f"uploadId={upload}", body=body))

    def get(self):
        key = self.known()
        if key is None:
            return self.put()
        answer = self.ask("get", "GET", key)
        if answer and answer.status in (200, 404):
            state = self.keys[key][0]
            if answer.status == 404 or answer.body != content(state.seed,
                                                              state.size):
                self.wrong.append(f"{key}: a GET shows {answer.status}, "
                                  f"{len(answer.body)} bytes; {state}")

    OPERATIONS = ((put, 30), (put_if_none, 8), (put_if_match, 8), (copy, 8),
                  (tag, 8), (delete, 10), (multipart, 6), (get, 22))

    def run(self):
        names = [o for o, _ in self.OPERATIONS]
        weights = [w for _, w in self.OPERATIONS]
        try:
            while not self.load.ended.is_set():
                self.random.choices(names, weights)[0](self)
                if self.load.pause:
                    time.sleep(self.load.pause)
        except Exception:
            self.wrong.append(traceback.format_exc())
        self.client.close()


def etag(state):
    return hashlib.md5(content(state.seed, state.size)).hexdigest()


class Load:
    """Threads that write and read until stop(); check() looks at everything.

    counted: chains of conditional writes by all threads to one key would be
    checked here, too, were they needed; the simulator does that."""

    def __init__(self, world, threads=6, seed=1, sizes=SIZES, timeout=60,
                 retry=True, pause=0, bucket="load"):
        self.world, self.port = world, world.port
        self.threads, self.seed, self.sizes = threads, seed, sizes
        self.timeout, self.retry, self.pause = timeout, retry, pause
        self.bucket = bucket
        self.ended = threading.Event()
        self.workers = []
        self.keys = {}
        self.rounds = 0

    def make_bucket(self):
        c = Client(self.port)
        answer = c.ask("PUT", f"/{self.bucket}")
        assert answer and answer.status == 200, answer
        c.close()

    def start(self):
        self.rounds += 1
        self.ended = threading.Event()
        self.workers = [Worker(self, f"{self.rounds}.{i}")
                        for i in range(self.threads)]
        for w in self.workers:
            w.start()
        return self

    def stop(self, seconds=90):
        """Ends it; everything that was asked has been answered, or never
        will be."""
        self.ended.set()
        deadline = time.monotonic() + seconds
        for w in self.workers:
            w.join(max(0, deadline - time.monotonic()))
            assert not w.is_alive(), "a request hangs"
        for w in self.workers:
            self.keys.update(w.keys)
            assert not w.wrong, w.wrong[:5]
        return self

    def times(self, since=0.0, to=float("inf"), answered=None):
        found = []
        for w in self.workers:
            for t in list(w.times):
                if since <= t[0] <= to and (
                        answered is None or (t[2] != 0) == answered):
                    found.append(t)
        return found

    def failed(self, since=0.0, to=float("inf")):
        """Requests without an answer, or with one of 5xx."""
        return [t for t in self.times(since, to) if t[2] == 0 or t[2] >= 500]

    def resets(self):
        return sum(w.client.resets for w in self.workers)

    def check(self, patience=60, keys=None, decided=True):
        """Every key: one of the states that it may be in, whole.  Returns how
        many were looked at.  decided: nobody is at it any more, so the state
        that is found stays."""
        keys = sorted(keys or self.keys)
        if any(len(self.keys[k]) > 1 for k in keys):
            time.sleep(DECIDED)
        wrong, lock, todo = [], threading.Lock(), iter(keys)

        def look():
            client = Client(self.port, 30)
            while True:
                with lock:
                    key = next(todo, None)
                if key is None:
                    break
                error = self.check_key(client, key, patience, decided)
                if error:
                    wrong.append(error)
            client.close()

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for looker in [pool.submit(look) for _ in range(4)]:
                looker.result()
        wrong += self.check_listing()
        assert not wrong, f"{len(wrong)} wrong: " + "\n".join(wrong[:10])
        return len(keys)

    def ask(self, client, patience, method, path, query=""):
        deadline = time.monotonic() + patience
        while True:
            answer = client.ask(method, path, query)
            if answer and answer.status < 500:
                return answer
            if time.monotonic() > deadline:
                return answer
            time.sleep(0.2)

    def check_key(self, client, key, patience, decided):
        states = self.keys[key]
        path = f"/{self.bucket}/{key}"
        answer = self.ask(client, patience, "GET", path)
        if answer is None or answer.status not in (200, 404):
            return (f"{key}: no answer, or {answer and answer.status}; "
                    f"{states}")
        if answer.status == 404:
            if None not in states:
                return f"{key}: lost; {states}"
            if decided:
                self.keys[key] = [None]
            return None
        match = [s for s in states if s and s.size == len(answer.body)
                 and content(s.seed, s.size) == answer.body]
        if not match:
            return (f"{key}: {len(answer.body)} bytes of none of {states}, "
                    f"{answer.headers}")
        if any(s.tag for s in states if s) or len(match) > 1:
            answer = self.ask(client, patience, "GET", path, "tagging=")
            if answer is None or answer.status != 200:
                return f"{key}: tags: {answer and answer.status}"
            value = ET.fromstring(answer.body).find(".//{*}Value")
            tag = value.text if value is not None else ""
            match = [s for s in match if s.tag == tag]
            if not match:
                return f"{key}: tag {tag!r} of none of {states}"
        if decided:
            self.keys[key] = match[:1]
        return None

    def check_listing(self):
        """Keys that have an object for certain, and those that have none."""
        client, listed, more = Client(self.port), set(), ""
        while True:
            answer = self.ask(client, 30, "GET", f"/{self.bucket}",
                              (more and f"continuation-token={more}&")
                              + "list-type=2")
            assert answer and answer.status == 200, answer
            root = ET.fromstring(answer.body)
            listed |= {e.text for e in root.iterfind(".//{*}Contents/{*}Key")}
            token = root.find("{*}NextContinuationToken")
            if token is None:
                break
            more = urllib.parse.quote(token.text, safe="")
        client.close()
        there = {k for k, s in self.keys.items() if None not in s}
        away = {k for k, s in self.keys.items() if not any(s)}
        return ([f"{k}: not listed" for k in sorted(there - listed)]
                + [f"{k}: listed, but deleted" for k in sorted(away & listed)])
