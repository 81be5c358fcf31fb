import { describe, expect, it } from 'vitest';
import { endsInHangul, EnterSends } from '../../src/lib/ime';

type Step =
  | { down: string; code?: number; composing?: boolean; repeat?: boolean; shift?: boolean }
  | { up: string }
  | { start: true }
  | { update: string }
  | { end: string }
  | { blur: true };

// How often the steps send, and the actions of the keydowns.
function play(steps: Step[], enter = new EnterSends()) {
  let sends = 0;
  const actions: string[] = [];
  for (const step of steps) {
    if ('down' in step) {
      const action = enter.keyDown({
        key: step.down, keyCode: step.code ?? (step.down === 'Enter' ? 13 : 65), isComposing: step.composing ?? false,
        repeat: step.repeat ?? false, shiftKey: step.shift ?? false, ctrlKey: false, altKey: false, metaKey: false,
      });
      actions.push(action);
      if (action === 'send') ++sends;
    } else if ('up' in step) enter.keyUp({ key: step.up });
    else if ('start' in step) enter.compositionStart();
    else if ('update' in step) enter.compositionUpdate(step.update);
    else if ('end' in step) {
      if (enter.compositionEnd(step.end)) ++sends;
    } else enter.blur();
  }
  return { sends, actions };
}

const compose: Step[] = [{ start: true }, { update: 'ㅎ' }, { update: '하' }, { update: '한' }];
const composingEnter: Step = { down: 'Enter', code: 229, composing: true };
const plainEnter: Step[] = [{ down: 'Enter' }, { up: 'Enter' }];

describe('one Enter sends once', () => {
  it('without a composition', () => {
    expect(play(plainEnter)).toEqual({ sends: 1, actions: ['send'] });
    expect(play([...plainEnter, ...plainEnter]).sends).toBe(2);
  });
  it('Chrome on Linux and Windows: the Enter ends the composition', () => {
    expect(play([...compose, composingEnter, { end: '한' }, { up: 'Enter' }]).sends).toBe(1);
  });
  it('Chrome on macOS: a second keydown follows', () => {
    const steps = [...compose, composingEnter, { end: '한' }, { down: 'Enter' }, { up: 'Enter' }];
    expect(play(steps)).toEqual({ sends: 1, actions: ['pass', 'swallow'] });
  });
  it('Safari: the composition ends before the keydown', () => {
    expect(play([...compose, { end: '한' }, { down: 'Enter', code: 229 }, { up: 'Enter' }])).toEqual({
      sends: 1, actions: ['send'],
    });
  });
  it('input methods that end the composition after the key is up', () => {
    const enter = new EnterSends();
    expect(play([...compose, composingEnter, { up: 'Enter' }, { end: '한' }], enter).sends).toBe(1);
    expect(play(plainEnter, enter).sends).toBe(1); // the next one is not swallowed
  });
  it('and the next message is sent as well, in every order of events', () => {
    const chrome: Step[] = [...compose, composingEnter, { end: '한' }, { up: 'Enter' }];
    const macos: Step[] = [...compose, composingEnter, { end: '한' }, { down: 'Enter' }, { up: 'Enter' }];
    const safari: Step[] = [...compose, { end: '한' }, { down: 'Enter', code: 229 }, { up: 'Enter' }];
    for (const first of [chrome, macos, safari, plainEnter]) {
      for (const second of [chrome, macos, safari, plainEnter]) {
        const enter = new EnterSends();
        play(first, enter);
        expect(play(second, enter).sends).toBe(1);
      }
    }
  });
  it('when a syllable was finished long before', () => {
    expect(play([...compose, { end: '한' }, { down: ' ', code: 32 }, ...plainEnter]).sends).toBe(1);
  });
});

describe('no Enter sends nothing', () => {
  it('a composition that ends by itself', () => {
    expect(play([...compose, { end: '한' }, { start: true }, { update: 'ㄱ' }, { end: 'ㄱ' }]).sends).toBe(0);
  });
  it('Shift with Enter', () => {
    expect(play([{ down: 'Enter', shift: true }])).toEqual({ sends: 0, actions: ['pass'] });
    expect(play([...compose, { ...composingEnter, shift: true }, { end: '한' }]).sends).toBe(0);
  });
  it('an Enter that is held', () => {
    const held: Step = { down: 'Enter', repeat: true };
    expect(play([{ down: 'Enter' }, held, held, { up: 'Enter' }])).toEqual({
      sends: 1, actions: ['send', 'swallow', 'swallow'],
    });
  });
  it('an Enter that picks a candidate in Japanese or Chinese', () => {
    for (const text of ['日本', 'かな', 'ni hao', '你好']) {
      expect(play([{ start: true }, { update: text }, composingEnter, { end: text }, { up: 'Enter' }]).sends).toBe(0);
      expect(play([{ start: true }, { update: text }, { end: text }, { down: 'Enter', code: 229 }])).toEqual({
        sends: 0, actions: ['pass'],
      });
    }
  });
  it('an Enter after which the composition went on', () => {
    expect(play([...compose, composingEnter, { up: 'Enter' }, { update: '한ㄱ' }, { end: '한ㄱ' }]).sends).toBe(0);
    expect(play([...compose, composingEnter, { up: 'Enter' }, { down: 'a' }, { end: '한' }]).sends).toBe(0);
  });
  it('a composition that ends because the field loses the focus', () => {
    const enter = new EnterSends();
    play([...compose, { blur: true }], enter);
    expect(play([{ end: '한' }], enter).sends).toBe(0);
    expect(play(plainEnter, enter).sends).toBe(1);
  });
});

describe('endsInHangul', () => {
  it.each(['한', 'ㄱ', 'ㅏ', 'abc가', '\u1112\u1161\u11ab'])('%j', (text) => expect(endsInHangul(text)).toBe(true));
  it.each(['', 'a', '한a', '漢', '한 ', '1'])('not %j', (text) => expect(endsInHangul(text)).toBe(false));
});
