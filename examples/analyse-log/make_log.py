"""Writes the log of a small shop to standard output, with one incident in it: a deploy shrinks the connection pool of
the payments service, payments time out, orders fail, and a rollback mends it. The same seed gives the same log.
"""

import argparse
import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

START = datetime(2026, 3, 14, 8, 0, 0, tzinfo=timezone.utc)
# Share of the log's lines at which each phase of the incident begins.
DEPLOY, FAILURE, ROLLBACK, RECOVERY = 0.55, 0.62, 0.80, 0.85


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=7, help="default: %(default)s")
    options = parser.parse_args()
    for line in log_lines(options.lines, random.Random(options.seed)):
        print(line)


def log_lines(num_lines: int, rng: random.Random) -> Iterator[str]:
    now = START
    deploy, failure, rollback, recovery = (int(num_lines * share) for share in (DEPLOY, FAILURE, ROLLBACK, RECOVERY))
    for index in range(num_lines):
        now += timedelta(milliseconds=rng.randrange(80, 2400))
        if index == deploy:
            event = ("INFO", "payments", "deploy v2.14.0 done: config changed: db.pool.max 50 -> 5")
        elif index == rollback:
            event = ("INFO", "payments", "rollback to v2.13.4 done: config changed: db.pool.max 5 -> 50")
        elif failure <= index < rollback and rng.random() < 0.6:
            event = failing(rng, waiting=index - failure + 3)
        elif rollback < index < recovery and rng.random() < 0.3:
            event = ("WARN", "gateway", "circuit breaker for orders half open, 1 probe let through")
        else:
            event = normal(rng)
        level, service, message = event
        yield f"{now:%H:%M:%S}.{now.microsecond // 1000:03d} {level:<5} {service:<9} {message}"


def normal(rng: random.Random) -> tuple[str, str, str]:
    milliseconds = rng.randrange(4, 90)
    order = rng.randrange(10_000, 99_999)
    return rng.choice(
        [
            ("INFO", "gateway", f"GET /api/items/{order % 997} 200 {milliseconds} ms"),
            ("INFO", "gateway", f"POST /api/orders 201 {milliseconds + 40} ms"),
            ("INFO", "orders", f"order {order} accepted"),
            ("INFO", "payments", f"order {order} charged in {milliseconds} ms"),
            ("INFO", "inventory", f"order {order}: {1 + order % 4} items reserved"),
            ("DEBUG", "auth", f"token of user {order % 1009} renewed"),
            ("WARN", "inventory", f"cache miss for item {order % 997}, read from database in {milliseconds} ms"),
        ]
    )


def failing(rng: random.Random, waiting: int) -> tuple[str, str, str]:
    order = rng.randrange(10_000, 99_999)
    return rng.choice(
        [
            ("ERROR", "payments", f"no connection from pool payments-db within 5000 ms: 5 in use, {waiting} waiting"),
            ("ERROR", "orders", f"order {order} failed: payments answered 503"),
            ("WARN", "gateway", "POST /api/orders 503 5021 ms, circuit breaker for orders open"),
        ]
    )


if __name__ == "__main__":
    main()
