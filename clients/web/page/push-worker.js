// Shows what notify pushes to this browser. The same message again takes the place of the first, by its id.

self.addEventListener("push", (event) => {
  const { id, text } = event.data.json();
  event.waitUntil(self.registration.showNotification("快招 Kuaizhao", { body: text, tag: id, icon: "/page/icon.svg" }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(self.clients.openWindow("/"));
});
