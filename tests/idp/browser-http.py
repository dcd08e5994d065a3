#!/usr/bin/env python3
"""A "browser" without a browser: opens URL, fills in login and consent forms, follows redirects, and delivers the
loopback redirect to its listener. Standard library only; talks to loopback addresses only.

  browser-http.py [--user alice] [--password alice-pw] [--ca ca.crt] [--deny] URL

Exit 0 when the last page is a success; prints one JSON line: {"steps":[…],"final":…,"status":…,"ms":…}.
Environment defaults: IDP_USER, IDP_PASSWORD, IDP_CA.
"""
import argparse, html.parser, http.cookiejar, json, os, re, ssl, sys, time, urllib.error, urllib.parse, urllib.request

ap = argparse.ArgumentParser()
ap.add_argument("--user", default=os.environ.get("IDP_USER", "alice"))
ap.add_argument("--password", default=os.environ.get("IDP_PASSWORD"))
ap.add_argument("--ca", default=os.environ.get("IDP_CA"))
ap.add_argument("--deny", action="store_true", help="press the deny/abort button on the consent page")
ap.add_argument("--no-deliver", action="store_true", help="print the loopback redirect instead of requesting it")
ap.add_argument("--max", type=int, default=25)
ap.add_argument("url")
a = ap.parse_args()
password = a.password or f"{a.user}-pw"


class Forms(html.parser.HTMLParser):
    """Forms with their fields and submit buttons; honours form= on buttons outside of the form."""

    def __init__(self):
        super().__init__()
        self.forms, self.cur, self.loose = [], None, []

    def handle_starttag(self, tag, attrs):
        d = dict(attrs)
        if tag == "form":
            self.cur = {"id": d.get("id"), "action": d.get("action", ""), "method": d.get("method", "get").lower(), "fields": [], "buttons": []}
            self.forms.append(self.cur)
        elif tag == "button" or (tag == "input" and d.get("type") == "submit"):
            b = {"name": d.get("name"), "value": d.get("value", ""), "id": d.get("id"), "form": d.get("form")}
            if b["form"]:
                self.loose.append(b)
            elif self.cur is not None:
                self.cur["buttons"].append(b)
        elif tag in ("input", "select", "textarea") and self.cur is not None and d.get("name"):
            if d.get("type") in ("checkbox", "radio") and "checked" not in d:
                return
            self.cur["fields"].append([d["name"], d.get("value", ""), d.get("type", "text")])

    def handle_endtag(self, tag):
        if tag == "form":
            self.cur = None

    def done(self):
        for b in self.loose:
            for f in self.forms:
                if f["id"] == b["form"]:
                    f["buttons"].append(b)
        return self.forms


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_a):
        return None


ctx = ssl.create_default_context(cafile=a.ca)
jar = http.cookiejar.CookieJar()
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect, urllib.request.HTTPSHandler(context=ctx), urllib.request.HTTPCookieProcessor(jar))
LOOP = re.compile(r"^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$")
origin0 = urllib.parse.urlsplit(a.url)[:2]
steps, t0 = [], time.monotonic()


def is_deny(b):
    t = " ".join(str(b.get(k) or "") for k in ("id", "name", "value")).lower()
    return any(w in t for w in ("abort", "deny", "reject", "cancel", "logout"))


def fetch(url, data=None, referer=None):
    if not LOOP.match(urllib.parse.urlsplit(url).hostname or ""):
        sys.exit(f"refusing to leave loopback: {url}")
    rq = urllib.request.Request(url, data=data, headers={"accept": "text/html", **({"referer": referer} if referer else {})})
    try:
        r = opener.open(rq, timeout=30)
    except urllib.error.HTTPError as e:
        r = e
    return r.status, r.headers, r.read().decode("utf-8", "replace")


def finish(code, **kw):
    print(json.dumps({"steps": steps, "ms": round((time.monotonic() - t0) * 1000), **kw}))
    sys.exit(code)


url, data, logins, page = a.url, None, 0, None
for _ in range(a.max):
    parts = urllib.parse.urlsplit(url)
    if parts[:2] != origin0 and not logins and page is None and not steps[1:]:   # the plugin's own listener sent us to the IdP
        origin0 = parts[:2]
    if parts[:2] != origin0:                              # left the IdP: the loopback redirect
        if a.no_deliver:
            finish(0, final=url, status=None)
        status, _h, text = fetch(url, data, page)
        # without the query: the code in it is a secret, and what this prints ends up in logs
        finish(0 if status < 400 and "error=" not in (parts.query or "") else 1, final=url.split("?")[0], status=status, body=text[:200])
    status, headers, text = fetch(url, data, page)
    steps.append([("POST " if data is not None else "GET ") + parts.path, status])
    data = None
    if status in (301, 302, 303, 307, 308):
        url = urllib.parse.urljoin(url, headers["location"])
        continue
    page = url                                            # the Referer of what follows, as some IdPs check it
    p = Forms(); p.feed(text)
    forms = [f for f in p.done() if f["fields"] or f["buttons"]]
    if a.deny:
        forms = sorted(forms, key=lambda f: not ("abort" in f["action"] or any(is_deny(b) for b in f["buttons"])))
    if status >= 500 or not forms:                         # an error, or a last page (device flow, logout)
        finish(0 if status < 400 else 1, final=url, status=status, body=re.sub(r"\s+", " ", text)[:300])
    f = forms[0]
    names = [n for n, _v, t in f["fields"]]
    pw = [n for n, _v, t in f["fields"] if t == "password"]
    user = [n for n in names if n.lower() in ("username", "user", "login", "email", "userid")]
    if pw or user:
        logins += 1
        if logins > (2 if not pw else 3):
            finish(1, final=url, status=status, body="login refused")
    fields = []
    for n, v, t in f["fields"]:
        fields.append((n, password if n in pw else a.user if n in user else v))
    pick = [b for b in f["buttons"] if is_deny(b) == a.deny] or f["buttons"]
    if pick and pick[0]["name"]:
        fields.append((pick[0]["name"], pick[0]["value"]))
    url = urllib.parse.urljoin(url, f["action"] or url)
    body = urllib.parse.urlencode(fields)
    if f["method"] == "post":
        data = body.encode()
    else:
        url = url.split("?")[0] + "?" + body
finish(1, final=url, status=None, body="too many steps")
