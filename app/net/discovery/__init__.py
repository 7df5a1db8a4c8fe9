"""Finding a manager of one's own fleet without its address, and asking it who offers a kind.

    words       what is said, and how long any of it may be
    sealed      a datagram: signed by a certificate of the fleet, checked before anything in it is read
    budget      how much a stranger may make us do
    registry    what was heard lately; forgets who falls silent
    voice       makes datagrams that fit
    carrier     the seam to what carries them: `lan` (multicast), `overlay` (the ZeroTier network)
    beacon      a manager: announces itself, answers questions
    finder      a member: asks, listens, knows where to dial

Only managers are announced, and a manager answers for its workers: it alone knows within seconds who is
connected and who was revoked, and workers that told each other what they offer would cost the square of
their number. What is heard is a hint where to dial and no more: who is there is proved by mutual TLS.
"""
