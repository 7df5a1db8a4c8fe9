"""ZeroTier: the fleet over a network of its own, without account, open port at the worker or root privileges.

    library.py    finds, provisions and loads libzt: `load(configured, paths) -> Loaded`
    elf.py        the one change that the published Linux library needs
    binding.py    libzt's functions, constants and error names, declared and nothing else
    identity.py   identities of nodes: make, keep on disk, the node id
    roots.py      who introduces nodes to each other: manager, third node, a planet file, ZeroTier's own
    network.py    network ids, addresses, the file a private network consists of; join status as sentences
    peers.py      what the node knows of other nodes: direct or relayed, latency
    node.py       the process' one node: start, stop, restart, status
    status.py     one look at the node as a value, with what is wrong and its cure
    report.py     that look in a file, for `zerotier status`; a role runs `keep_reporting(node)` all along
    transport.py  dials and listens at zt:// addresses
    stream.py     anyio streams and listeners: the promises of every transport
    window.py     bounds what is under way on a stream, sans-IO
    link.py       a connected socket: reads at once, keeps what cannot be sent yet
    door.py       a listening socket
    loop.py       the one thread that polls, reads and closes
    waker.py      from that thread into event loops

What those who build on it hold:

    loaded = library.load(configured_path_or_None)          # blocking, cheap; ConfigError says what to do
    own = identity.ensure(FOLDER, loaded.library)           # blocking, up to 1 s the first time
    settings = NodeSettings(
        home=DIR,                                           # what libzt caches; 0700, made if missing
        identity=own,
        network=private_network(manager_id),                # or existing_network("8056c2e21c000001")
        roots=own_roots([(public_identity, ["10.88.0.1/9993"])]),   # or PublicRoots(), PlanetFile(path)
        port=9993,                                          # UDP; 0: any
    )
    node = await ensure(settings, loaded)   # starts it and joins, or returns the one that runs with these
                                            # settings; Conflict if it runs with others
    node.id                                 # "8056c2e21c", ten hex digits
    node.address                            # IPv4Address on the overlay
    node.library                            # for sockets
    node.generation                         # goes up with each start; sockets of an earlier one are gone
    forget = node.on_stop(callback)         # called in a worker thread before libzt stops: close all sockets
    await node.restart()                    # about 0.5 s; raises like `ensure`
    await node.stop()
    node.status() -> NodeStatus             # values only, never raises; `.peers`, `.join`, `.problems`
    running() -> Node | None

It carries bytes and knows who introduces whom. Who may speak is decided by the mutual TLS above.
"""
