// Keeps the shell of the page, so that it opens without the server. Never touches the API.
const CACHE = 'axk1-892e3081717a';
const SHELL = ["./","assets/highlight-526vZEHM.js","assets/index-Bh293iTh.js","assets/index-CWgLTsYX.css","assets/math-Cb0fDpso.js","assets/math-NwSQFk4P.css","icon.svg","manifest.webmanifest","theme.js"];

self.addEventListener('install', (event) => {
  event.waitUntil(
    caches.open(CACHE).then((cache) => cache.addAll(SHELL)).then(() => self.skipWaiting()),
  );
});

self.addEventListener('activate', (event) => {
  event.waitUntil(
    (async () => {
      for (const name of await caches.keys()) {
        if (name.startsWith('axk1-') && name !== CACHE) await caches.delete(name);
      }
      await self.clients.claim();
    })(),
  );
});

self.addEventListener('fetch', (event) => {
  const scope = new URL(self.registration.scope);
  const url = new URL(event.request.url);
  if (event.request.method !== 'GET' || url.origin !== scope.origin) return;
  const path = url.pathname.slice(scope.pathname.length);
  if (event.request.mode === 'navigate' && path === '') {
    // The server's page when it answers; the kept one when it does not.
    event.respondWith(fetch(event.request).catch(() => caches.match(scope.href)));
  } else if (path.startsWith('assets/')) {
    // Names contain a hash of the content: what is kept is right.
    event.respondWith(
      caches.match(event.request).then(
        (kept) =>
          kept ??
          fetch(event.request).then((response) => {
            if (response.ok) {
              const copy = response.clone();
              caches.open(CACHE).then((cache) => cache.put(event.request, copy));
            }
            return response;
          }),
      ),
    );
  } else if (SHELL.includes(path)) {
    event.respondWith(fetch(event.request).catch(() => caches.match(event.request)));
  }
});
