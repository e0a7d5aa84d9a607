"""notify, wired."""

from services.notify import api, handlers, live, sender, store
from services.notify.personal import PERSONAL
from shared.service import Service

service = Service(
    name="notify",
    reactions=handlers.react,
    routes=api.routes,
    documents=store.DOCUMENTS,
    personal=PERSONAL,
    loops=[sender.send_forever, live.tell_forever, live.hear_forever, live.look_forever],
    about="Tells people what concerns them, once each: in their list of messages, live, and at their contact point.",
    state={"live": live.live_of},
)
