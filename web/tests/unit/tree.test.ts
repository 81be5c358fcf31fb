import { describe, expect, it } from 'vitest';
import { childrenOf, newestLeaf, pathTo, placeOf } from '../../src/lib/tree';
import type { Message } from '../../src/lib/types';

const message = (id: string, parent_id: string | null): Message => ({
  id, parent_id, role: 'user', content: id, reasoning_content: '', attachments: [], model: '', finish_reason: 'stop',
  created_ms: 0, stats: null,
});

// q - a - q2 - a2
//   \ b       \ a3
// r
const messages = [
  message('q', null), message('a', 'q'), message('q2', 'a'), message('a2', 'q2'), message('b', 'q'), message('a3', 'q2'),
  message('r', null),
];
const ids = (list: Message[]) => list.map(({ id }) => id);

describe('tree', () => {
  it('walks from the root to a message', () => {
    expect(ids(pathTo(messages, 'a3'))).toEqual(['q', 'a', 'q2', 'a3']);
    expect(ids(pathTo(messages, 'b'))).toEqual(['q', 'b']);
    expect(pathTo(messages, null)).toEqual([]);
    expect(pathTo(messages, 'unknown')).toEqual([]);
  });
  it('ends in damaged trees', () => {
    const loop = [message('x', 'y'), message('y', 'x')];
    expect(ids(pathTo(loop, 'x'))).toEqual(['y', 'x']);
    expect(['x', 'y']).toContain(newestLeaf(loop, 'x'));
    expect(ids(pathTo([message('x', 'gone')], 'x'))).toEqual(['x']);
  });
  it('knows siblings and their order', () => {
    expect(ids(childrenOf(messages, 'q2'))).toEqual(['a2', 'a3']);
    expect(placeOf(messages, messages[1])).toEqual({ index: 0, count: 2, previous: null, next: 'b' });
    expect(placeOf(messages, messages[5])).toEqual({ index: 1, count: 2, previous: 'a2', next: null });
    expect(placeOf(messages, messages[6])).toEqual({ index: 1, count: 2, previous: 'q', next: null });
  });
  it('follows the newest messages to the end of a branch', () => {
    expect(newestLeaf(messages, 'a')).toBe('a3');
    expect(newestLeaf(messages, 'q')).toBe('b');
    expect(newestLeaf(messages, 'b')).toBe('b');
  });
});
