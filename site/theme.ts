// Light or dark: as the system says, or as chosen, which the browser remembers.
import { byId } from './dom.ts';

const KEY = 'theme';

/** Wires the select. */
export function createTheme(): void {
  const select = byId('theme', HTMLSelectElement);
  const apply = () => {
    document.documentElement.style.colorScheme = select.value === 'auto' ? '' : select.value;
  };
  // Storage can be forbidden; the choice then lasts as long as the page.
  try {
    const stored = localStorage.getItem(KEY);
    if ([...select.options].some(({ value }) => value === stored)) select.value = stored!;
  } catch {}
  select.addEventListener('change', () => {
    apply();
    try {
      localStorage.setItem(KEY, select.value);
    } catch {}
  });
  apply();
}
