// The worker of `createEngine`: this package and nothing else. A worker of your own can offer more backends; docs/browser.md.
import { type Port, serve } from './serve.ts';

serve(globalThis as unknown as Port);
