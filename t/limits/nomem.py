"""Allocations that fail: every one that a request of each kind makes.

A worker with nomem.so runs one request after the other; of the n-th request
of a kind the n-th allocation fails, or all from that on, until one has not as
many.  The client gets an error of S3, or its connection ends; nothing that
was acknowledged is lost, nothing crashes or hangs, the next request works.
"""

import base64
import ctypes
import hashlib
import itertools
import mmap
import os
import time
import xml.etree.ElementTree as ET
import zlib

from limits import Client, Server, faults, until

PLUGIN = faults.BUILD / "nomem.so"
FOREVER = 2**31
TRACE = 24


class Switch(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_int32), ("count", ctypes.c_uint32),
                ("first", ctypes.c_uint32), ("more", ctypes.c_uint32),
                ("failed", ctypes.c_uint32), ("depth", ctypes.c_uint32),
                ("trace", ctypes.c_void_p * TRACE)]


def data_of(seed, size):
    return hashlib.shake_128(str(seed).encode()).digest(size)


SMALL, CODED, LARGE = 1000, 60000, 700000


class Requests:
    """The kinds: a setup, which nothing disturbs, returns the request."""

    def __init__(self, server):
        self.server = server
        self.n = 0
        self.expected = {}      # key: the data that it may have

    def free(self, method, path, query="", headers=None, body=None, good=()):
        """One that has to succeed, soon."""
        end = time.monotonic() + 10
        while True:
            a = self.server.ask(method, path, query, headers, body)
            if a and (a.status < 300 or a.status in good):
                return a
            assert time.monotonic() < end, (method, path, query, a,
                                            self.server.client.error
                                            if a is None else "")
            time.sleep(0.05)

    def put(self, key, size):
        self.n += 1
        data = data_of(self.n, size)
        self.free("PUT", f"/bucket/{key}", body=data)
        self.expected[key] = [data]
        return data

    def there(self, key, size):
        """The data of one that need not be put again."""
        if key not in self.expected:
            self.put(key, size)
        return self.expected[key][0]

    def became(self, key, ok, data, meta=False):
        """Written; if that has failed it may be what it was."""
        old = [] if ok else self.expected.get(key, [None])
        self.expected[key] = old + [data]
        self.look(key, meta)

    def upload(self, key):
        a = self.free("POST", f"/bucket/{key}", "uploads=")
        return ET.fromstring(a.body).find("{*}UploadId").text

    def with_part(self, key, data):
        upload = self.upload(key)
        a = self.free("PUT", f"/bucket/{key}", f"partNumber=1&uploadId={upload}",
                      body=data)
        return upload, a.headers["etag"]

    # --- kinds: (method, path, query, headers, body, check) ---------------

    def write(self, key, size, headers=None, chunked=False):
        self.n += 1
        data = data_of(self.n, size)
        body = data
        headers = {**(headers or {}), "x-amz-meta-a": "value",
                   "x-amz-tagging": "a=b"}
        if chunked:
            crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big"))
            body = (b"%x\r\n" % size + data + b"\r\n0\r\n"
                    b"x-amz-checksum-crc32:" + crc + b"\r\n\r\n")
            headers.update({
                "x-amz-trailer": "x-amz-checksum-crc32",
                "x-amz-decoded-content-length": str(size),
                "content-encoding": "aws-chunked",
                "x-amz-content-sha256":
                    "STREAMING-UNSIGNED-PAYLOAD-TRAILER"})

        def check(a):
            ok = a is not None and a.status == 200
            self.became(key, ok, data, meta=ok)
        return ("PUT", f"/bucket/{key}", "", headers, body, check)

    def look(self, key, meta=False):
        a = self.free("GET", f"/bucket/{key}", good=(404,))
        got = None if a.status == 404 else a.body
        assert got in self.expected[key], (
            f"{key}: {a.status}, {len(a.body)} bytes, not what it may be")
        self.expected[key] = [got]
        if meta:
            assert a.headers.get("x-amz-meta-a") == "value", a.headers
            assert a.headers.get("x-amz-tagging-count") == "1", a.headers

    def put_small(self):
        return self.write("put/small", SMALL,
                          {"x-amz-checksum-algorithm": "SHA256"})

    def put_coded(self):
        return self.write("put/coded", CODED)

    def put_large(self):
        return self.write("put/large", LARGE)

    def put_chunked(self):
        return self.write("put/chunked", LARGE, chunked=True)

    def put_if_match(self):
        data = self.put("put/match", 10)
        return self.write("put/match", SMALL, {
            "if-match": f'"{hashlib.md5(data).hexdigest()}"'})

    def reading(self, size, headers=None, want=slice(None), method="GET"):
        key = f"get/{size}"
        data = self.there(key, size)

        def check(a):
            if a and a.status in (200, 206) and method == "GET":
                assert a.body == data[want], (key, len(a.body))
        return (method, f"/bucket/{key}", "", headers, None, check)

    def get_small(self):
        return self.reading(SMALL)

    def get_coded(self):
        return self.reading(CODED)

    def get_large(self):
        return self.reading(LARGE)

    def get_range(self):
        return self.reading(LARGE, {"range": "bytes=200000-400000"},
                            slice(200000, 400001))

    def head(self):
        return self.reading(LARGE, method="HEAD")

    def attributes(self):
        self.there(f"get/{SMALL}", SMALL)
        return ("GET", f"/bucket/get/{SMALL}", "attributes=", {
            "x-amz-object-attributes": "ETag,Checksum,ObjectSize"}, None,
            None)

    def listing(self, path, query, want, tag):
        def check(a):
            if a and a.status == 200:
                found = [e.text for e in ET.fromstring(a.body).iter()
                         if e.tag.rpartition("}")[2] == tag]
                assert [w for w in want if w not in found] == [], a.body
        return ("GET", path, query, None, None, check)

    def list_v2(self):
        for i in range(5):
            self.there(f"list/{i}/x", 10)
        return self.listing(
            "/bucket", "delimiter=%2F&list-type=2&max-keys=4&prefix=list%2F",
            [f"list/{i}/" for i in range(4)], "Prefix")

    def list_buckets(self):
        return self.listing("/", "", ["bucket"], "Name")

    def delete(self):
        self.put("delete", LARGE)

        def check(a):
            self.became("delete", a is not None and a.status == 204, None)
        return ("DELETE", "/bucket/delete", "", None, None, check)

    def delete_many(self):
        keys = [f"many/{i}" for i in range(4)]
        for k in keys:
            self.put(k, 10)
        body = ("<Delete>" + "".join(f"<Object><Key>{k}</Key></Object>"
                                     for k in keys) + "</Delete>").encode()

        def check(a):
            gone = set()
            if a and a.status == 200:
                for e in ET.fromstring(a.body).iterfind("{*}Deleted/{*}Key"):
                    gone.add(e.text)
            for k in keys:
                self.became(k, k in gone, None)
        return ("POST", "/bucket", "delete=", self.md5(body), body, check)

    @staticmethod
    def md5(body):
        return {"content-md5": base64.b64encode(
            hashlib.md5(body).digest()).decode()}

    def copying(self, size):
        data = self.there(f"get/{size}", size)

        def check(a):
            self.became(f"copy/{size}", a is not None and a.status == 200
                        and b"<CopyObjectResult" in a.body, data)
        return ("PUT", f"/bucket/copy/{size}", "", {
            "x-amz-copy-source": f"/bucket/get/{size}"}, None, check)

    def copy_small(self):
        return self.copying(SMALL)

    def copy_large(self):
        return self.copying(LARGE)

    def upload_create(self):
        def check(a):
            if a and a.status == 200:
                upload = ET.fromstring(a.body).find("{*}UploadId").text
                self.free("DELETE", "/bucket/multi", f"uploadId={upload}")
        return ("POST", "/bucket/multi", "uploads=", None, None, check)

    def upload_part(self):
        upload = self.upload("part")

        def check(a):
            listed = self.free("GET", "/bucket/part", f"uploadId={upload}").body
            there = ET.fromstring(listed).findall("{*}Part")
            if a and a.status == 200:
                assert len(there) == 1, listed
            self.free("DELETE", "/bucket/part", f"uploadId={upload}")
        return ("PUT", "/bucket/part", f"partNumber=1&uploadId={upload}", None,
                data_of(7, LARGE), check)

    def upload_part_copy(self):
        upload = self.upload("part")
        self.there(f"get/{LARGE}", LARGE)
        return ("PUT", "/bucket/part", f"partNumber=1&uploadId={upload}",
                {"x-amz-copy-source": f"/bucket/get/{LARGE}"}, None,
                lambda a: self.free("DELETE", "/bucket/part",
                                    f"uploadId={upload}"))

    def upload_list(self):
        upload, _ = self.with_part("listed", b"abc")

        def check(a):
            self.free("DELETE", "/bucket/listed", f"uploadId={upload}")
        return ("GET", "/bucket/listed", f"uploadId={upload}", None, None, check)

    def uploads(self):
        return ("GET", "/bucket", "uploads=", None, None, None)

    def upload_complete(self):
        self.n += 1
        data = data_of(self.n, CODED * 3)
        upload, etag = self.with_part("whole", data)
        body = ("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
                f"<ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
                ).encode()

        def check(a):
            ok = (a is not None and a.status == 200
                  and b"<CompleteMultipartUploadResult" in a.body)
            self.became("whole", ok, data)
            if not ok:
                # it can be taken up again, or was there
                self.free("POST", "/bucket/whole", f"uploadId={upload}",
                          body=body)
                self.became("whole", True, data)
        return ("POST", "/bucket/whole", f"uploadId={upload}", None, body, check)

    def upload_abort(self):
        upload, _ = self.with_part("aborted", data_of(8, LARGE))

        def check(a):
            self.free("DELETE", "/bucket/aborted", f"uploadId={upload}",
                      good=(404,))
        return ("DELETE", "/bucket/aborted", f"uploadId={upload}", None, None,
                check)

    TAGS = (b"<Tagging><TagSet><Tag><Key>t</Key><Value>v</Value></Tag>"
            b"</TagSet></Tagging>")

    def tag(self):
        self.put("tags", SMALL)

        def check(a):
            got = self.free("GET", "/bucket/tags", "tagging=").body
            if a and a.status == 200:
                assert b"<Value>v</Value>" in got, got
            self.look("tags")
        return ("PUT", "/bucket/tags", "tagging=", self.md5(self.TAGS), self.TAGS,
                check)

    def tag_get(self):
        self.there(f"get/{SMALL}", SMALL)
        return ("GET", f"/bucket/get/{SMALL}", "tagging=", None, None, None)

    def tag_delete(self):
        self.there(f"get/{SMALL}", SMALL)
        return ("DELETE", f"/bucket/get/{SMALL}", "tagging=", None, None, None)

    def bucket_create(self):
        self.free("DELETE", "/new", good=(404,))

        def check(a):
            if a and a.status == 200:
                self.free("HEAD", "/new")
        return ("PUT", "/new", "", None, None, check)

    def bucket_delete(self):
        self.free("PUT", "/old", good=(409,))

        def check(a):
            if a and a.status == 204:
                assert self.free("HEAD", "/old", good=(404,)).status == 404
        return ("DELETE", "/old", "", None, None, check)

    def bucket_head(self):
        return ("HEAD", "/bucket", "", None, None, None)

    def bucket_tags(self):
        return ("PUT", "/bucket", "tagging=", self.md5(self.TAGS), self.TAGS,
                lambda a: self.free("GET", "/bucket", "tagging=", good=(404,)))

    KINDS = ("put_small put_coded put_large put_chunked put_if_match "
             "get_small get_coded get_large get_range head attributes "
             "list_v2 list_buckets delete delete_many copy_small copy_large "
             "upload_create upload_part upload_part_copy upload_list uploads "
             "upload_complete upload_abort tag tag_get tag_delete "
             "bucket_create bucket_delete bucket_head bucket_tags").split()


class Run:
    def __init__(self, server, path):
        self.server = server
        self.requests = Requests(server)
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 4096)
        self.switch = Switch.from_buffer(self.map)
        self.wrong = []
        self.maps = list(maps(server.pid()))
        self.tried = self.refused = self.closed = self.passed = 0

    def close(self):
        self.switch.pid = 0
        del self.switch
        self.map.close()
        self.file.close()

    def quiet(self):
        """Until nothing more is asked of the allocator."""
        last, since = self.switch.count, time.monotonic()
        while time.monotonic() - since < 0.004:
            time.sleep(0.002)
            if self.switch.count != last:
                last, since = self.switch.count, time.monotonic()

    def one(self, kind, n, more):
        """Returns whether there was an n-th allocation."""
        s = self.switch
        method, path, query, headers, body, check = getattr(
            self.requests, kind)()
        client = Client(self.server.port, 10, retry=False)
        s.count = s.failed = s.depth = 0
        s.first, s.more = n, more
        s.pid = self.server.workers()[0]
        a = client.ask(method, path, query, headers, body)
        self.quiet()
        s.pid = 0
        client.close()
        failed = s.failed
        name = f"{kind} {n}{'+' if more else ''}"
        error = self.judge(kind, method, a, failed, client)
        if error:
            self.wrong.append(f"{name}: {error}; {self.where()}")
        if check:
            try:
                check(a)
            except AssertionError as e:
                self.wrong.append(f"{name}: {a and a.status}, then {e}; "
                                  f"{self.where()}")
        self.tried += 1
        return failed != 0

    def judge(self, kind, method, a, failed, client):
        if a is None:
            self.closed += 1
            return "no answer in time" if "timed out" in client.error else (
                None if failed else f"no answer: {client.error}")
        if a.status < 300:
            if b"<Error>" in a.body and b"<Code>SlowDown" not in a.body \
                    and b"<Code>InternalError" not in a.body:
                return f"{a.status}: {a.body[:200]}"
            self.passed += 1
            return None
        self.refused += 1
        if a.status not in (500, 503) or not failed:
            return f"{a.status} {a.body[:200]}"
        if method != "HEAD" and b"<Code>" not in a.body \
                and "ngx_http_s3_module" in self.where():
            return f"an answer of nginx: {a.body[:60]}"
        return None

    def where(self):
        """Who has called for what failed last.  All workers have the maps of
        their master."""
        out = []
        for i in range(2, self.switch.depth):
            address = self.switch.trace[i] or 0
            for lo, hi, offset, path in self.maps:
                if lo <= address < hi:
                    out.append((path, address - lo + offset))
        return names(out)


def maps(pid):
    with open(f"/proc/{pid}/maps") as f:
        for line in f:
            span, _, offset, _, _, *path = line.split()
            low, high = (int(x, 16) for x in span.split("-"))
            yield low, high, int(offset, 16), path[0] if path else ""


def names(frames):
    out = []
    for path, address in frames[:12]:
        base = os.path.basename(path)
        if base == "ngx_http_s3_module.so":
            text = faults.sh("addr2line", "-s", "-f", "-e", path,
                             hex(address - 1), check=False).split("\n")
            base = f"{text[0]}:{text[1]}" if len(text) > 1 else base
        out.append(base)
    return " < ".join(out)


def run(kinds, numbers):
    """`numbers(kind, more)`: which allocations of a request are to fail."""
    switch = faults.tempfile.NamedTemporaryFile(prefix="s3-nomem-")
    switch.truncate(4096)
    with switch, Server(workers=1, env={
            "LD_PRELOAD": str(PLUGIN), "S3_NOMEM": switch.name}) as server:
        server.start()
        run = Run(server, switch.name)
        try:
            run.requests.free("PUT", "/bucket")
            most = work(run, kinds, numbers)
            assert not run.wrong, f"{len(run.wrong)} wrong:\n" + "\n".join(
                run.wrong[:40])
            server.sane()

            # what was acknowledged is there, and after a start as well
            for key in run.requests.expected:
                run.requests.look(key)
            until("temporary files are gone", 10,
                  lambda: server.temporary() == [])
            # a request that has not ended would hold its worker
            server.stop(seconds=15)
            server.client.close()
            server.start()
            for key in run.requests.expected:
                run.requests.look(key)
            server.sane()
            server.stop()
        finally:
            run.close()
        return (f"{run.tried} requests of {len(kinds)} kinds, at most {most} "
                f"allocations: {run.passed} done, {run.refused} refused, "
                f"{run.closed} connections closed")


def work(run, kinds, numbers):
    most = 0
    for kind in kinds:
        for more in (0, FOREVER):
            for n in numbers(kind, more):
                crashes = run.server.count("exited on signal")
                if not run.one(kind, n, more):
                    break
                most = max(most, n)
                now = run.server.count("exited on signal")
                if now != crashes:
                    run.wrong.append(f"{kind} {n} {more}: a crash; "
                                     + run.where())
                    time.sleep(0.2)
    return most


def test_one(long):
    """One allocation fails, of few requests; with --long of all."""
    if long:
        return run(Requests.KINDS, lambda kind, more: itertools.count(
            1, 4 if more else 1))
    return run(Requests.KINDS, lambda kind, more: itertools.count(
        1 + zlib.crc32(kind.encode()) % (5 if not more else 20),
        5 if not more else 20))
