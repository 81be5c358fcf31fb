// One Enter sends the whole text once, also while a syllable is being composed.
//
// What browsers do when Enter ends a composition:
//   Chrome, Linux and Windows   keydown(229, composing), compositionend
//   Chrome, macOS, Hangul       keydown(229, composing), compositionend, keydown(13)
//   Safari                      compositionend, keydown(229, not composing)
// Sending at the first keydown loses or doubles the last syllable; ignoring every keydown with 229
// needs Enter twice; sending at each sends twice. So an Enter that ends a composition sends when
// the composition has ended, and a second keydown of the same key press is swallowed.
//
// In Japanese and Chinese input Enter picks a candidate and must not send: only a composition that
// ends in Hangul sends.

export interface EnterKey {
  key: string;
  keyCode: number;
  isComposing: boolean;
  repeat: boolean;
  shiftKey: boolean;
  ctrlKey: boolean;
  altKey: boolean;
  metaKey: boolean;
}

export type KeyAction =
  | 'pass' // the browser's own meaning
  | 'swallow' // prevent the default, do nothing
  | 'send'; // prevent the default and send now

const kImeKeyCode = 229;

export function endsInHangul(text: string): boolean {
  return /[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]$/.test(text);
}

export class EnterSends {
  #composing = false;
  #composed = ''; // the text of the composition, or of the last one
  #pending = false; // Enter was pressed in the composition
  #down = false; // Enter is held
  #sent = false; // the held Enter has sent

  compositionStart(): void {
    this.#composing = true;
    this.#composed = '';
    this.#pending = false;
  }

  compositionUpdate(data: string): void {
    if (data !== this.#composed) this.#pending = false; // the composition went on after all
    this.#composed = data;
  }

  // True: send, once the event has been handled and the text field holds the syllable.
  compositionEnd(data: string): boolean {
    this.#composing = false;
    if (data !== '') this.#composed = data;
    const send = this.#pending;
    this.#pending = false;
    if (send) this.#sent = this.#down;
    return send;
  }

  keyDown(event: EnterKey): KeyAction {
    const enter = event.key === 'Enter' || event.keyCode === 13;
    const composing = this.#composing || event.isComposing;
    if (!enter) {
      // While composing, a key without a name may be the Enter of some input methods; any other
      // named key is not.
      if (event.key !== 'Process' && event.key !== 'Unidentified') this.#pending = false;
      return 'pass';
    }
    if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return 'pass';
    if (event.repeat) return composing ? 'pass' : 'swallow';
    const again = this.#down; // a second keydown without a keyup: the same press
    this.#down = true;
    if (composing) {
      this.#pending = endsInHangul(this.#composed);
      this.#sent = false;
      return 'pass';
    }
    if (again && this.#sent) return 'swallow';
    if (event.keyCode === kImeKeyCode && !endsInHangul(this.#composed)) return 'pass';
    this.#sent = true;
    return 'send';
  }

  keyUp(event: { key: string }): void {
    if (event.key === 'Enter') this.#down = this.#sent = false;
  }

  // The field lost the focus: no keyup will come.
  blur(): void {
    this.#composing = this.#pending = this.#down = this.#sent = false;
  }
}
