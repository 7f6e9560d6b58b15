// A process of a bench, and how it is asked: one message there, one answer back.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Instead of an answer. */
export interface FailedMessage {
  readonly error: string;
}

/** Starts a module of the bench in a process of its own; the standard output stays for tables. */
export const startChild = (module: URL): ChildProcess =>
  fork(fileURLToPath(module), { stdio: ['ignore', 2, 2, 'ipc'] });

/** Sends a message and waits for the answer. Throws an Error that begins with `bench` for a failure, or the end of the process. */
export function ask<Answer extends object>(
  bench: string,
  child: ChildProcess,
  message: object,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const gone = (code: number | null, signal: string | null) =>
      reject(
        new Error(`${bench}: expected an answer, got the end of the process (${code ?? signal})`),
      );
    child.once('exit', gone);
    child.once('message', (answer: Answer | FailedMessage) => {
      child.off('exit', gone);
      if ('error' in answer) reject(new Error(`${bench}: ${answer.error}`));
      else resolve(answer);
    });
    child.send(message);
  });
}
