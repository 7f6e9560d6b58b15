// A peer in a process of its own. Threads of an engine spin for a while after their work, allocators and schedulers differ,
// and an addon may crash: nothing of that shall reach another peer. Only one process works at a time, the others wait for a
// message.
import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { PeerName } from './adapters.ts';
import type { DoneMessage, FailedMessage, OpenedMessage, OpenMessage, Task } from './messages.ts';

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
  const child = fork(fileURLToPath(new URL('./child.js', import.meta.url)), {
    // The standard output is for tables.
    stdio: ['ignore', 2, 2, 'ipc'],
  });
  const about = await ask<OpenedMessage>(child, message).catch((error) => {
    child.kill();
    throw error;
  });
  return {
    ...about,
    name: message.peer,
    async run(task) {
      await setTimeout(SETTLE_MS);
      return ask<DoneMessage>(child, task);
    },
    close: () => child.kill(),
  };
}

function ask<Answer extends object>(
  child: ChildProcess,
  message: OpenMessage | Task,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const gone = (code: number | null, signal: string | null) =>
      reject(
        new Error(`peers: expected an answer, got the end of the process (${code ?? signal})`),
      );
    child.once('exit', gone);
    child.once('message', (answer: Answer | FailedMessage) => {
      child.off('exit', gone);
      if ('error' in answer) reject(new Error(`peers: ${answer.error}`));
      else resolve(answer);
    });
    child.send(message);
  });
}
