// A peer in a process of its own. Threads of an engine spin for a while after their work, allocators and schedulers differ,
// and an addon may crash: nothing of that shall reach another peer. Only one process works at a time, the others wait for a
// message.
import { setTimeout } from 'node:timers/promises';
import { ask, startChild } from '../child-process.ts';
import type { PeerName } from './adapters.ts';
import type { DoneMessage, OpenedMessage, OpenMessage, Task } from './messages.ts';

/** Before a task, until the threads of the peer that worked before sleep. */
const SETTLE_MS = 30;

/** A peer that was opened. */
export interface PeerProcess extends OpenedMessage {
  readonly name: PeerName;
  /** Does a task; `ms` is the time of the work alone. */
  run(task: Task): Promise<DoneMessage>;
  close(): void;
}

/** Starts a process and opens a peer in it. */
export async function startPeer(message: OpenMessage): Promise<PeerProcess> {
  const child = startChild(new URL('./child.js', import.meta.url));
  const about = await ask<OpenedMessage>('peers', child, message).catch((error) => {
    child.kill();
    throw error;
  });
  return {
    ...about,
    name: message.peer,
    async run(task) {
      await setTimeout(SETTLE_MS);
      return ask<DoneMessage>('peers', child, task);
    },
    close: () => child.kill(),
  };
}
