// No shortcut is a bare letter: those belong to screen readers and to typing.
export type Shortcut = 'new' | 'search' | 'settings' | 'help' | 'focus' | 'stop';

export const apple = /Mac|iPhone|iPad/.test(navigator.platform);

export function shortcutOf(event: KeyboardEvent): Shortcut | null {
  if (event.key === 'Escape') return 'stop';
  const command = apple ? event.metaKey : event.ctrlKey;
  if (!command || event.altKey) return null;
  // By position: with a Korean keyboard layout the key would be a jamo.
  if (event.shiftKey) {
    if (event.code === 'KeyO') return 'new';
    return null;
  }
  if (event.code === 'KeyK') return 'search';
  if (event.code === 'Comma') return 'settings';
  if (event.code === 'Slash') return 'help';
  if (event.code === 'KeyI') return 'focus';
  return null;
}

const mod = apple ? '⌘' : 'Ctrl';

// For the help: keys and what they do.
export const shortcutKeys = [
  { keys: ['Enter'], words: 'shortcutSend' },
  { keys: ['Shift', 'Enter'], words: 'shortcutNewline' },
  { keys: ['Esc'], words: 'shortcutStop' },
  { keys: ['↑'], words: 'shortcutEditLast' },
  { keys: [mod, 'I'], words: 'shortcutFocus' },
  { keys: [mod, 'Shift', 'O'], words: 'shortcutNew' },
  { keys: [mod, 'K'], words: 'shortcutSearch' },
  { keys: [mod, ','], words: 'shortcutSettings' },
  { keys: [mod, '/'], words: 'shortcutHelp' },
] as const;
