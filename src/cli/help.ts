// What --help prints.

/** The whole help. */
export const helpText = `foretoken: Llama-family models with speculative decoding, in TypeScript alone

  foretoken [compare]   tell a story plainly and again with speculation, and compare (the default)
  foretoken generate    write the continuation of a prompt to standard output
  foretoken explain     print the plan of a forward: op, shapes, bytes, FLOPs, time, share
  foretoken quantize IN OUT --type TYPE    write a model (folder or .gguf) to a GGUF file OUT
  foretoken convert HEAD --verifier TARGET --output OUT    write a draft head of a research project
                        (EAGLE, HASS, DFlash, Medusa, MLP) in the format of speculators
  foretoken convert MODEL --output OUT     the same for the multi-token prediction inside a model
                        (Qwen, DeepSeek, GLM), or for a head of an older version of the format
  foretoken convert HEAD --stitch --verifier TARGET --output OUT    write TARGET with the tuned
                        multi-token prediction HEAD in it
  foretoken convert HEAD --back --verifier TARGET --output OUT      write a speculator in the layout
                        of its research project, with what that repeats of TARGET
  foretoken inspect PATH                   say what a folder or a .gguf file holds
  foretoken doctor TARGET DRAFT            examine a draft model or a speculator against a target: its
                        files, what is accepted of it, and whether it fits better read otherwise
  foretoken export-vllm HEAD               say how vLLM serves a speculator (--verifier, --draft-length)

What runs
  --model PATH          Hugging Face folder with safetensors, or a .gguf file
                                                                    (the embedded target model)
  --backend NAME        wasm, cpu, reference, gpu-cpu or gpu-webasm                      (wasm)
  --dtype TYPE          auto, f32, bf16, f16, q8_0 or q4_0: how weights are kept         (auto)
  --context-length N    positions of the cache                       (the model's, up to 4096)
  --inflate N           parameters, like 400M: the same function in a larger model, to see what a
                        size costs    (100M: compare on wasm with the embedded target; else none)
  --no-inflate          compare: the embedded target as it is

What it writes
  --prompt TEXT         text to continue, - for standard input
                                            ("Once upon a time"; doctor: a few short texts)
  --chat                treat the prompt as a user's message in the model's chat template
  --max-tokens N        tokens to write at most                                           (160)
  --stop TEXT           text that ends the generation; may be given more than once
  --ignore-eos          go on past the model's end token
  --temperature X       0 takes the most probable token                                     (0)
  --top-k N  --top-p X  --min-p X  --repetition-penalty X  --presence-penalty X
  --frequency-penalty X
  --seed N              equal seeds give equal texts                                        (0)

How it speculates
  --drafter NAME        model, tree, ngram, suffix, prediction, layer-skip or none
                                        (compare and with --draft: model; generate: none)
  --draft PATH          the draft model of model and tree, which may have another tokenizer, or a
                        folder in the format of speculators          (the embedded draft model)
  --prediction FILE     what the text is expected to become, for the drafter prediction
  --draft-layers LIST   layers of the model that draft, for the drafter layer-skip: 4 for the
                        first four, 0,2,5 for these
  --proposal NAME       a method of the config of a speculator: greedy, sampling, static_tree,
                        dynamic_tree or paths
                                     (the one that it names, without what changes the text)
  --draft-length N      drafted tokens per round at most, or auto: as far as it pays
                                             (auto; the method of a speculator; doctor: 4)
  --branching LIST      children per level of tree, or best: the shape worth most       (3,2,1)
                        of ngram: the occurrences that it follows; of suffix: best, a tree
  --verifier NAME       greedy, match, rejection, block or traversal
              (greedy at temperature 0, else match; the method of a speculator where it says)

Output
  --stats               generate: the numbers of the run, on standard error
  --rows N              explain: rows of the forward                                        (1)
  --type TYPE           quantize: q8_0, q4_0, f16, bf16 or f32
  --algorithm NAME      convert: eagle (hass is one), eagle3, peagle, dflash, mtp, mlp or medusa
                                                           (what the names of the tensors say)
  --norm-before-residual  convert: of eagle3 and peagle, which no file says
  --dry-run             convert: say what would be written, tensor by tensor
  --stitch              convert: put a head back into a copy of its target
  --back                convert: from the format to the layout of the research project
  --force               quantize, convert: overwrite OUT
  --steps               explain: every step, not one line per kind
  --json                compare, explain, inspect, export-vllm, doctor: one line of JSON instead
                        of tables
  --no-color            also by the variable NO_COLOR
  --version, --help

Exit status: 0, 1 when the check fails or a file is broken, 2 for a wrong command line.`;
