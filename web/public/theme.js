// Before the first paint, so that a dark page never flashes white.
(() => {
  let theme = 'auto';
  try {
    theme = localStorage.getItem('axk1.theme') || 'auto';
  } catch {
    // storage is closed to this page: follow the system
  }
  const dark = theme === 'dark' || (theme === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();
