#!/usr/bin/env python3
"""A module for the CLAWS bus of lanlord, on Python's standard library alone.

It answers the wish dns:auto-assign-fqdn with a name in its zone, and records the name of each final
host exactly once: the effect and the watermark share one SQLite transaction, so a crash between
"done" and "told" neither loses nor repeats anything.

    CLAWS_TOKEN=... claws_module.py http://127.0.0.1:8080 names.db [zone [source]]

`source` is the name of the token's credential. The credential needs, in the daemon's configuration:

    [[claws.credential]]
    name = "DNS Management Module"
    append = ["dns"]
    remove = ["dns"]
"""
import http.client
import os
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET

BASE, STATE = sys.argv[1].rstrip("/"), sys.argv[2]
ZONE = sys.argv[3] if len(sys.argv) > 3 else "example.com"
SOURCE = sys.argv[4] if len(sys.argv) > 4 else "DNS Management Module"
CLAWS, HOST, DNS = (f"{{urn:openclaws:ns:{name}:1}}" for name in ("claws", "host", "dns"))
SILENCE = 45  # seconds; the daemon sends a comment every 15


class Store:
    """Names and the watermark: (epoch, seq) of the last final event that is in here."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE IF NOT EXISTS names(host TEXT PRIMARY KEY, fqdn TEXT, times INTEGER);"
            "CREATE TABLE IF NOT EXISTS mark(epoch TEXT, seq INTEGER)"
        )
        self.epoch, self.seq = self.db.execute("SELECT epoch, seq FROM mark").fetchone() or (None, 0)

    def begin(self, epoch, seq):
        """The first start ever: begin where the stream begins."""
        self.db.execute("INSERT INTO mark VALUES (?, ?)", (epoch, seq))
        self.epoch, self.seq = epoch, seq

    def put(self, seq, host, fqdn):
        self.db.execute("BEGIN IMMEDIATE")
        if host and fqdn:
            self.db.execute(
                "INSERT INTO names VALUES (?, ?, 1)"
                " ON CONFLICT(host) DO UPDATE SET fqdn = excluded.fqdn, times = times + 1",
                (host, fqdn),
            )
        self.db.execute("UPDATE mark SET seq = ?", (seq,))
        self.db.execute("COMMIT")
        self.seq = seq


class Module:
    def __init__(self, store):
        self.store = store
        self.session = ""
        self.pulse = 0

    def call(self, method, path, body=None, **headers):
        headers = {
            "Authorization": "Bearer " + os.environ["CLAWS_TOKEN"],
            "Content-Type": "application/xml",
            **headers,
        }
        request = urllib.request.Request(BASE + path, body, headers, method=method)
        return urllib.request.urlopen(request, timeout=SILENCE)

    def post(self, message):
        try:
            with self.call("POST", "/claws/v1/messages", ET.tostring(message), **{"Claws-Session": self.session}) as answer:
                answer.read()
        except urllib.error.HTTPError as refusal:
            print("refused:", refusal.code, refusal.read().decode(), file=sys.stderr)

    def beat(self):
        while True:
            time.sleep(self.pulse)
            try:
                self.post(ET.Element(CLAWS + "heartbeat", applied=str(self.store.seq)))
            except (OSError, http.client.HTTPException):
                pass  # the stream notices, too, and connects again

    def welcome(self, message):
        if self.store.epoch is None:
            self.store.begin(message.get("epoch"), int(message.get("after")))
        if self.store.epoch != message.get("epoch"):
            sys.exit("the daemon's journal was replaced: start anew with an empty state file")
        first, self.pulse = not self.pulse, int(message.get("heartbeat-ms")) / 1000
        self.session = message.get("session")
        if first:
            threading.Thread(target=self.beat, daemon=True).start()

    def provisional(self, message, host):
        """Add to the event. An update without blocks means: no opinion, do not wait for me."""
        update = ET.Element(CLAWS + "event-update", txid=message.get("txid"), re=message.get("seq"))
        ET.SubElement(update, CLAWS + "source").text = SOURCE
        ET.SubElement(update, CLAWS + "module-version").text = "0.1.0"
        if host is not None and host.find(DNS + "auto-assign-fqdn") is not None:
            block = ET.SubElement(update, host.tag, {"update-action": "remove"})
            ET.SubElement(block, DNS + "auto-assign-fqdn")
            block = ET.SubElement(update, host.tag, {"update-action": "append"})
            ET.SubElement(block, DNS + "fqdn").text = f"{host.findtext(HOST + 'hostname').lower()}.{ZONE}"
        self.post(update)

    def final(self, message, host):
        """Act on the event, and tell that it is done. Delivered twice is normal; applied twice is a bug."""
        seq = int(message.get("seq"))
        if seq > self.store.seq:
            name = host.findtext(HOST + "hostname") if host is not None else None
            self.store.put(seq, name, host.findtext(DNS + "fqdn") if host is not None else None)
        self.post(ET.Element(CLAWS + "ack", txid=message.get("txid"), seq=str(seq), result="applied"))

    def handle(self, message):
        host = message.find(HOST + "add-host")
        if message.tag == CLAWS + "welcome":
            self.welcome(message)
        elif message.get("status") == "provisional":
            self.provisional(message, host)
        elif message.get("status") == "final" and message.get("seq"):  # progress has no seq
            self.final(message, host)

    def listen(self):
        resume = {} if self.store.epoch is None else {"Last-Event-ID": str(self.store.seq)}
        with self.call("GET", "/claws/v1/stream?role=module&takeover=true", **resume) as stream:
            data = []
            for raw in stream:
                line = raw.decode().rstrip("\r\n")
                if line.startswith("data:"):
                    data.append(line[5:].removeprefix(" "))
                elif not line and data:
                    message, data = ET.fromstring("\n".join(data)), []
                    self.handle(message)

    def run(self):
        while True:
            try:
                self.listen()
            except (OSError, http.client.HTTPException) as error:
                print("stream:", error, file=sys.stderr)
            time.sleep(1)


if __name__ == "__main__":
    Module(Store(STATE)).run()
