"""Never ends by itself, but listens; says when it has begun."""


def handle(payload, ctx):
    ctx.progress(0.0, "begun")
    while True:
        ctx.wait_cancelled(1.0)
        ctx.check_cancelled()
