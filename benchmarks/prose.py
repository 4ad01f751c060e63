"""What the page "Performance" says beside its figures."""

from .plan import COLD_SESSIONS

COLLECTOR = """\
- Let the [garbage collector](#the-garbage-collector) have less to do: `gc_freeze=True`, and `gc.set_threshold(50_000)`
  where the application starts."""
"""The first advice: what to do about Python's garbage collector."""

_ABOUT_COLLECTOR = """\
## The garbage collector

Python's garbage collector looks for cycles of objects that nobody uses. A request of this package leaves none:
reference counting frees all that it has made. (A stream that ends before its time, because its client leaves or its
session ends, leaves the cycles of its task group, with FastAPI alone too.) But the collector counts the objects that
there are, and requests that wait for Redis at the same time hold many. So it comes often, by default after every 700
new objects (2,000 from Python 3.13 on), and now and then it looks at everything, also at each function and class of
each module. The event loop stands still for that long.

- **`gc_freeze=True`** (`JWTSESSION_GC_FREEZE=true`): when the application starts, the provider's lifespan calls
  `gc.collect()` and then `gc.freeze()`, once in each process. The collector never again looks at what there is at that
  time, so its longest stops become short.
- **`gc.set_threshold(50_000)`** in the application's module: the collector comes after so many new objects. It pays
  where many requests are under way at once. Cycles of other packages wait longer for it, and take memory meanwhile.

Both can be set at the same time.
{collector}
What to know before you freeze:

- In a lifespan of your own start the provider last. What the application makes later is not frozen: the collector looks
  at it as always.
- What is frozen and becomes garbage later stays in memory, if it is in a cycle: a large object that you replace while
  the application runs, such as a model or a table. Outside of cycles it is freed as always.
- `gc.get_objects()` and `gc.get_referrers()` do not see what is frozen, and neither do tools that use them, such as
  objgraph. They see what leaks after the start, but not the frozen dictionary or list that holds it. `tracemalloc` sees
  everything. To look for a leak, start without the setting.
- A server that forks its workers (gunicorn with `preload_app`) runs the lifespan in each of them, after the fork. To
  share the memory of what was loaded before, call `gc.freeze()` there too, right before the fork. Workers of uvicorn
  are new processes and share nothing.
- What is frozen stays so when the application ends: `gc.unfreeze()` would also unfreeze what others have frozen. Only
  the first application of a process freezes: those that start later, as in tests, can be freed.
- An implementation of Python without `gc.freeze()` refuses the setting at the start."""

HOW_COLLECTOR = """\
*Frozen*: `gc.freeze()` at the start; *when warm*: after the first requests; *at 50,000*: `gc.set_threshold(50_000)`.
`python -m benchmarks.collector` counted it on {date}: Python tells of each collection, and the CPU time is that of its
thread."""
"""How the table of what the collector does was made."""

ADVICE = f"""\
{COLLECTOR}
- Ask for the session where it is needed. An endpoint that does not ask pays nothing, and Redis is not asked.
- Let the session be the first of an endpoint's dependencies, before the database, for instance; parameters of the URL
  may stand before it. If the endpoint has no body either, the request loads the session before FastAPI prepares the
  rest of it, and holds little while it waits.
  [There are exceptions](architecture.md#what-a-request-holds-while-it-waits), such as routes that Sentry's integration
  has wrapped.
- The [near cache](guides/near-cache.md), where a session may be served a moment longer than it lives.
- `pip install 'fastapi-jwtsession[hiredis]'` and uvicorn's `standard` extra: the parser of Redis's protocol, the event
  loop and the parser of HTTP that were measured here.
- Keep Redis near. Its distance is added to each request once, however many requests wait.
- More workers: each has its own caches, and they share nothing but Redis.
- Keep sessions small. What is large and seldom needed belongs into a database.

{_ABOUT_COLLECTOR}"""

INTRODUCTION = """\
# Performance

<!-- Made by `python -m benchmarks --page`: change benchmarks/page.py and benchmarks/prose.py, not this. -->

{lead}

{expected}

Machines differ, and so do runs. What holds elsewhere are the ratios between figures of one run. `make bench` makes all
of these figures anew where you are, `make bench BENCH=--quick` some of them in about two minutes. This run:
{about}

## What an application can do

{advice}

## Side by side

Each application has one endpoint, which needs a session and answers two things that it holds. All were measured in one
run, in rounds that took turns, on the same core, with the same Valkey beside them. What a session adds is the CPU that
a request takes more than in the same framework without sessions, in the same round. Shown is the median of the rounds,
which is not the difference of the medians.

{charts}"""

NOTES = f"""\
## What is measured

- *FastAPI alone* is an endpoint without a session, and so are *Litestar*, *Fastify* and *Express alone*. All FastAPI
  applications have the same versions of FastAPI, Starlette, Pydantic and uvicorn.
- *A dependency that does nothing* answers the same without a session: what FastAPI itself takes for any dependency.
- *A batched GET + validation* is the least that a session in Redis takes: `GET` on one connection, which requests that
  wait share, and a Pydantic model of the answer. It checks no signature and extends nothing, and has no time limit.
- *PyJWT + redis-py by hand* is a dependency of ten lines: `jwt.decode`, `GETEX`, `json.loads`.
- *fastapi-redis-sdk* has its sessions as they come, *starsessions* its `RedisStore` and rolling sessions,
  *fastapi-users* its `RedisStrategy`, with users from a dictionary, for nothing; *AuthX* has no store, so nothing that
  it issues can be revoked. *Litestar* has server-side sessions in its `RedisStore`, *@fastify/session* has
  `connect-redis`, and *jwt-redis-session* runs on Express.
- The Python ones have a pool of 1,000 connections to the store: with redis-py's 100 they would answer some of 256
  clients with 500.
- The Python ones run under uvicorn (uvloop, httptools), where no other server is named.
- CPU is the time that the server's process spends, by the system's account. Where a cell has a range, these are the
  quartiles over the rounds. p99 is the latency that one request in a hundred exceeds.
- Sessions of 200 bytes, HS256, one worker and warm caches, where nothing else is said. Every client has its own
  session.
- *Cold caches*: each request brings a token that its worker has not seen, {COLD_SESSIONS:,} of them.
- *Collector frozen*: the application has called `gc.freeze()` when it had started; *collector at 50,000*: it has called
  `gc.set_threshold(50_000)`.
- *Two workers* share what cores are left when the load has one. On two cores that is one: their row tells what a second
  worker costs, not what it gains."""
