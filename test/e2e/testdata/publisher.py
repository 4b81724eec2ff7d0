"""Publishes with the "redis" package what stdin says, one message a line:
the envelope in JSON. Arguments: port, topic, publish or xadd.
"""

import json
import sys

import redis

port, topic, how = int(sys.argv[1]), sys.argv[2], sys.argv[3]
client = redis.Redis(port=port)
for line in sys.stdin:
    message = json.loads(line)
    if how == "publish":
        client.publish(topic, json.dumps(message))
        continue
    fields = {}
    for name, value in message.items():
        fields[name] = value if name != "data" and isinstance(value, str) else json.dumps(value)
    client.xadd(topic, fields)
