// Small things that this browser remembers. Where storage is closed to the page, nothing is
// remembered and nothing fails.
const kPrefix = 'axk1.';

export function stored(name: string, area: () => Storage = () => localStorage): string | null {
  try {
    return area().getItem(kPrefix + name);
  } catch {
    return null;
  }
}

export function store(name: string, value: string | null, area: () => Storage = () => localStorage): void {
  try {
    if (value === null) area().removeItem(kPrefix + name);
    else area().setItem(kPrefix + name, value);
  } catch {
    // full or closed
  }
}

export const session = (): Storage => sessionStorage;
