// Chat templates: Jinja source from tokenizer_config.json or chat_template.jinja, messages in, prompt text out.
// Follows transformers' apply_chat_template: the same variables, and `tool_use` preferred when tools are given.
import { Template } from '@huggingface/jinja';
import { FormatError, OptionError, UnsupportedError } from '../kernels/errors.ts';

/** One turn of a conversation. Other fields (tool_calls, name, …) reach the template as they are. */
export interface ChatMessage {
  /** `system`, `user`, `assistant`, `tool`, … as the template knows them. */
  readonly role: string;
  readonly content?: string | readonly unknown[] | null;
  readonly [field: string]: unknown;
}

/** How to render a conversation. */
export interface ChatOptions {
  /** Ends with the words that open the assistant's turn. Default true; false when the last turn is to be scored. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** Descriptions of tools, as the template wants them. Default none. */
  readonly tools?: readonly unknown[] | undefined;
  /** Variables that this template understands, such as `enable_thinking`. Default none. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
}

/** The template of a tokenizer: one, or several by name. */
type ChatTemplateSource = string | readonly { readonly name: string; readonly template: string }[];

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function compile(source: string): Template {
  try {
    return new Template(source);
  } catch (error) {
    throw new FormatError(`chat template: expected Jinja, got ${reason(error)}`, { cause: error });
  }
}

/** The source that serves a conversation without (or with) tools, or null. */
export function selectChatTemplate(
  source: ChatTemplateSource | null,
  withTools: boolean,
): string | null {
  if (source === null || typeof source === 'string') return source;
  const named = (name: string) => source.find((entry) => entry.name === name)?.template;
  return (withTools ? named('tool_use') : undefined) ?? named('default') ?? null;
}

/** Makes the function that renders conversations. `tokens` are the special tokens by name (`bos_token`, …). */
export function createChatRenderer(
  source: ChatTemplateSource | null,
  tokens: Readonly<Record<string, string>>,
): (messages: readonly ChatMessage[], options: ChatOptions) => string {
  const compiled = new Map<string, Template>();
  return (messages, { addGenerationPrompt = true, tools, variables }) => {
    const text = selectChatTemplate(source, tools !== undefined);
    if (text === null) {
      throw new UnsupportedError(
        'chat: expected a chat template in tokenizer_config.json or chat_template.jinja, got none; ' +
          'write the prompt yourself and use encode',
      );
    }
    const template = compiled.get(text) ?? compile(text);
    compiled.set(text, template);
    try {
      return template.render({
        ...tokens,
        ...variables,
        messages,
        tools: tools ?? null,
        add_generation_prompt: addGenerationPrompt,
      });
    } catch (error) {
      // Mostly the template's own raise_exception, which the library provides: the message is addressed to the caller.
      throw new OptionError(`chat template: ${reason(error)}`, { cause: error });
    }
  };
}
