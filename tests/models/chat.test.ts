// Chat templates: what they see, which one is taken, and what is said when they fail.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FormatError, OptionError, UnsupportedError } from '../../src/kernels/errors.ts';
import { createTokenizer } from '../../src/models/tokenizer.ts';

const own = new URL('../../models/target/', import.meta.url);
const parse = (url: URL): unknown => JSON.parse(readFileSync(url, 'utf8'));

const template =
  "{{ bos_token }}{% for message in messages %}{% if message.role == 'tool' %}" +
  "{{ raise_exception('no tools here') }}{% endif %}" +
  "<{{ message['role'] }}>{{ message['content'] | trim }}{{ eos_token }}{% endfor %}" +
  '{% if add_generation_prompt %}<assistant>{% endif %}{% if mood %}({{ mood }}){% endif %}';
const messages = [{ role: 'user', content: ' Hello 🙂 ' }];

describe('chat', () => {
  const json = parse(new URL('tokenizer.json', own));
  const config = parse(new URL('tokenizer_config.json', own)) as object;
  const chatter = createTokenizer({
    tokenizerJson: json,
    tokenizerConfig: config,
    chatTemplate: template,
  });

  it('renders the template with its tokens and begins the text once', () => {
    const prompt = '<|begin_of_text|><user>Hello 🙂<|end_of_text|><assistant>';
    expect(chatter.chatTemplate).toBe(template);
    expect(chatter.renderChat(messages)).toBe(prompt);
    const ids = chatter.chat(messages);
    expect(ids.filter((id) => id === chatter.bosToken)).toEqual([0]);
    expect(chatter.decode(ids, { skipSpecialTokens: false })).toBe(prompt);
    const options = { addGenerationPrompt: false, variables: { mood: 'calm' } };
    expect(chatter.renderChat(messages, options)).toBe(prompt.replace('<assistant>', '(calm)'));
  });

  it('takes the template of tokenizer_config.json, and tool_use where there are tools', () => {
    const chat_template = [
      { name: 'default', template: 'plain' },
      { name: 'tool_use', template: '{{ tools | length }} tools' },
    ];
    const tokenizer = createTokenizer({
      tokenizerJson: json,
      tokenizerConfig: { ...config, chat_template },
    });
    expect(tokenizer.renderChat(messages)).toBe('plain');
    expect(tokenizer.renderChat(messages, { tools: [{}, {}] })).toBe('2 tools');
  });

  it('says what is wrong with a template or a conversation', () => {
    const target = createTokenizer({ tokenizerJson: json, tokenizerConfig: config });
    expect(target.chatTemplate).toBe(null);
    expect(() => target.chat(messages)).toThrow(UnsupportedError);
    expect(() => target.chat(messages)).toThrow(/expected a chat template/);
    expect(() => chatter.chat([{ role: 'tool', content: '' }])).toThrow(
      new OptionError('chat template: no tools here'),
    );
    const broken = createTokenizer({ tokenizerJson: json, chatTemplate: '{% if %}' });
    expect(() => broken.chat(messages)).toThrow(FormatError);
    expect(() => chatter.chat(messages, { addGenerationprompt: true } as object)).toThrow(
      OptionError,
    );
  });
});
