// A head by its files: what the config says and leaves out, what the names of its tensors tell of the converter, and whether its
// vocabulary agrees with itself.
import type { DecoderConfig } from '../../models/config.ts';
import type { Checkpoint } from '../../tensor/checkpoint.ts';
import type { SpeculatorConfig } from '../speculators/config.ts';
import { isNamedBy, readTensors, writeVocabulary } from '../speculators/vocabulary.ts';
import type { Finding } from './finding.ts';
import type { Reading } from './readings.ts';

/** What the config of a head says of itself and of its target. */
export function examineConfig(
  { algorithm, raw, verifier }: SpeculatorConfig,
  target: DecoderConfig,
): Finding[] {
  const findings: Finding[] = [];
  if (['eagle3', 'peagle'].includes(algorithm) && !('norm_before_residual' in raw))
    findings.push({
      gravity: 'warning',
      subject: 'norm_before_residual',
      message: 'the config does not say: the format reads false, vLLM true',
    });
  const own = target.raw['architectures'];
  const names = Array.isArray(own) ? own.map(String) : [];
  if (names.length > 0 && verifier.architectures.length > 0) {
    const isSame = verifier.architectures.some((name) => names.includes(name));
    findings.push({
      gravity: isSame ? 'fine' : 'warning',
      subject: 'target',
      message: isSame
        ? `made for ${verifier.architectures.join(', ')}, as the target is`
        : `made for ${verifier.architectures.join(', ')}, the target is ${names.join(', ')}`,
    });
  }
  return findings;
}

/** What the names of tensors tell. */
export function examineNames({ tensors }: Checkpoint): Finding[] {
  const lost = [...tensors.keys()].filter((name) => name.startsWith('midlayer.'));
  if (lost.length === 0) return [];
  return [
    {
      gravity: 'error',
      subject: 'tensors',
      message: `${lost.length} have the research name midlayer.*, which the format calls layers.0.*: convert the original again (foretoken convert)`,
    },
  ];
}

/** What d2t and t2d say, and the readings that bring them together where they disagree. */
export async function examineVocabulary(
  { tensors, readInto }: Checkpoint,
  vocab: number,
): Promise<{ readonly findings: readonly Finding[]; readonly readings: readonly Reading[] }> {
  const [d2t, t2d] = [tensors.get('d2t'), tensors.get('t2d')];
  const isReadable =
    d2t?.type === 'I64' &&
    d2t.shape.length === 1 &&
    t2d?.type === 'BOOL' &&
    t2d.shape.join() === String(vocab);
  // What is missing or has another shape, loading names.
  if (!isReadable || d2t.shape[0] === vocab) return { findings: [], readings: [] };
  const { offsets, mask } = await readTensors(readInto, d2t.shape[0], vocab);
  const subject = 'd2t';
  const byOffset = Int32Array.from(offsets, (offset, token) => token + Number(offset));
  const asIds = Int32Array.from(offsets, Number);
  if (isNamedBy(mask, byOffset)) {
    const message = `names the ${byOffset.length} tokens of t2d by offsets`;
    return { findings: [{ gravity: 'fine', subject, message }], readings: [] };
  }
  const reading = (label: string, ids: Int32Array): Reading[] => {
    const isUsable = new Set(ids).size === ids.length && ids.every((id) => id >= 0 && id < vocab);
    return isUsable ? [{ label, tensors: writeVocabulary(ids, { vocab }) }] : [];
  };
  if (isNamedBy(mask, asIds)) {
    const message = `has the ids of the ${asIds.length} tokens of t2d where offsets belong (target = draft + offset)`;
    return {
      findings: [{ gravity: 'error', subject, message }],
      readings: reading('d2t as ids', asIds),
    };
  }
  const message = 'names other tokens than t2d, as offsets and as ids';
  return {
    findings: [{ gravity: 'error', subject, message }],
    readings: [
      ...reading('d2t as offsets, without t2d', byOffset),
      ...reading('d2t as ids, without t2d', asIds),
    ],
  };
}
