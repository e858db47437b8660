#!/usr/bin/env python3
"""An S3 service on loopback for tests: moto's, which checks signatures, with a bucket and a key.

Usage: tests/s3_server.py BUCKET [PORT]

Prints "listening on PORT KEY_ID SECRET" when ready, and serves until its standard input ends. Its
content is in memory. Exit status 3 when moto is not installed: deploy/install.sh --objects.
"""

import pathlib
import re
import sys
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / ".deps" / "objects"))
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'


def main():
    try:
        import moto.settings
        from moto.moto_server.threaded_moto_server import ThreadedMotoServer
    except ImportError as error:
        print(f"s3_server.py: {error}: run deploy/install.sh --objects", file=sys.stderr)
        return 3
    bucket, port = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    address = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(service, method, path, **form):
        credential = f"Credential=any/20260101/us-east-1/{service}/aws4_request"
        data = urllib.parse.urlencode(form).encode() if form else None
        request = urllib.request.Request(
            address + path,
            data=data,
            method=method,
            headers={"Authorization": f"AWS4-HMAC-SHA256 {credential}, Signature=none"},
        )
        with opener.open(request) as answer:
            return answer.read().decode()

    def iam(action, **form):
        return call("iam", "POST", "/", Action=action, Version="2010-05-08", **form)

    call("s3", "PUT", f"/{bucket}")
    iam("CreateUser", UserName="mentor")
    iam("PutUserPolicy", UserName="mentor", PolicyName="all", PolicyDocument=POLICY)
    key = iam("CreateAccessKey", UserName="mentor")
    # From here on every request must be signed.
    moto.settings.INITIAL_NO_AUTH_ACTION_COUNT = 0.0
    key_id, secret = (
        re.search(f"<{name}>(.*?)<", key).group(1) for name in ("AccessKeyId", "SecretAccessKey")
    )
    print(f"listening on {address.rsplit(':', 1)[1]} {key_id} {secret}", flush=True)
    sys.stdin.read()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
