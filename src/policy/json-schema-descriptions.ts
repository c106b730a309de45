const TOKEN =
  'A form of an argument: a word, a glob (*, ?, [a-z]), path:/srv/**, int:1..500 or any:200. In quotes, when in doubt.';
const SELECTION = 'In the selection language: role=web and not node=web[01-03].';
const OPERATORS = 'Names of operators, and group:NAME. Left out: every operator of this policy.';
const TAGS = "The node's own tags that have to match: a value or glob, or a list of them.";

const LIMITS = {
  '': 'What a command may use.',
  timeout: 'Wall-clock time, as 15s or 1m30s.',
  output: 'Both streams together, as 256KiB.',
  cpu: 'Processor time, in whole seconds.',
  memory: 'Memory of all its processes together, as 256MiB.',
  tasks: 'Processes and threads at the same time.',
  concurrency: 'Commands of one rule at the same time on one node.',
  rate: 'Starts of one rule on one node, as 30/min, 2/s or 100/h.',
};
const SANDBOX = {
  '': 'How far commands are locked in: a profile, an order of preference, or a mapping that opens something.',
  profile: 'strict, standard or none; a list is tried from the left.',
  network: 'none, or host: the network of the machine.',
  read: 'Paths to be seen read-only.',
  write: 'Paths to be written.',
  sockets: 'Unix sockets to be reached.',
};

/** What each key of a policy is for, by its path; `*` stands for any name. Shown by editors. */
export const DESCRIPTIONS: Readonly<Record<string, string>> = {
  '': 'Who may run which programs with which arguments on a node, and in which sandbox. What no rule allows is refused.',
  version: 'The version of the format.',
  environment: 'Commands are signed for one environment.',
  cluster: 'And, where it is named, for one cluster.',
  operators: 'The people whose signed commands are considered, by name.',
  'operators.*': 'An operator.',
  'operators.*.key': 'The public line that "fanout operator keygen" prints.',
  'operators.*.groups': 'Groups for rules: names, or { name, notAfter }.',
  'operators.*.groups.name': 'The name of the group.',
  'operators.*.groups.notAfter': 'The last day in the group, as 2030-12-31 (UTC).',
  'operators.*.notAfter': 'The last day on which the key holds, as 2030-12-31 (UTC).',
  defaults: 'For every rule that does not say otherwise.',
  ...below('defaults.sandbox', SANDBOX),
  ...below('defaults.limits', LIMITS),
  'defaults.user': 'Who runs commands; never left to be root.',
  'defaults.maxTtl': 'Longest life of a signed command, as 60s.',
  'defaults.maxTtlApproved': 'The same for one that others have countersigned.',
  'defaults.clockSkew': 'How far clocks may differ.',
  'defaults.dangerous': 'Why the risk is taken that the lint sees in the defaults.',
  rules:
    'A deny rule that matches refuses, whatever else matches; the first allow rule that matches supplies the limits.',
  queries: "Serf's queries that this node answers by its event handlers and handlers.",
  'queries.name': 'The name of the query.',
  'queries.from': 'any: whoever is a member may ask.',
  'queries.operators': `Whose signed questions are answered: names of operators, and group:NAME.`,
  'rules.id': 'The name of the rule, which answers and logs give.',
  'rules.effect': 'allow or deny.',
  'rules.why': 'For whoever is refused, and whoever reads the policy.',
  'rules.operators': OPERATORS,
  'rules.tags': TAGS,
  'rules.tags.*': TAGS,
  'rules.select': `The rule holds only on these nodes. ${SELECTION}`,
  'rules.readOnly': 'What it allows changes nothing: runs on many nodes need no confirmation.',
  'rules.commands': 'Programs, with the arguments that they may get.',
  'rules.commands.program': 'The bare name of the program.',
  'rules.commands.path': 'The one file that may be started for it.',
  'rules.commands.argv': `Exactly these arguments, in this order; a list in the list is a choice. ${TOKEN}`,
  'rules.commands.flags': 'Options without a value, each as it is spelled: "-h", "--all".',
  'rules.commands.options': `Options with a value: { "-n": "int:1..500" }. ${TOKEN}`,
  'rules.commands.options.*': TOKEN,
  'rules.commands.first': `The first positional arguments, one by one. ${TOKEN}`,
  'rules.commands.positionals': 'The other positional arguments.',
  'rules.commands.positionals.min': 'At least so many.',
  'rules.commands.positionals.max': 'At most so many.',
  'rules.commands.positionals.match': TOKEN,
  'rules.commands.handler': 'A handler of the node, by its name, in the place of a program.',
  'rules.commands.params': `What its parameters may be; one that is not named may not be given. ${TOKEN}`,
  'rules.commands.params.*': TOKEN,
  ...below('rules.sandbox', SANDBOX),
  ...below('rules.limits', LIMITS),
  'rules.user': 'Who runs the command.',
  'rules.groups': 'Supplementary groups of the account.',
  'rules.cwd': 'The working directory.',
  'rules.env': 'Variables beside the fixed environment.',
  'rules.env.*': 'The value of the variable.',
  'rules.approvals': 'Who else has to sign a command before it runs.',
  'rules.approvals.need': 'So many, beside the one who asks.',
  'rules.approvals.from': 'Of these: names of operators, and group:NAME.',
  'rules.dangerous':
    'Why the risk is taken that the lint sees in this rule. Without it, a danger refuses the file.',
  'rules.programs': 'Programs that are denied, by their base names; globs.',
  'rules.anyArg': 'Arguments that are denied, whatever the program; globs.',
  examples: 'What the policy has to allow and deny. Tried whenever it is read.',
  'examples.allow': 'Commands that it allows.',
  'examples.deny': 'Commands that it denies.',
  ...example('examples.allow'),
  ...example('examples.deny'),
};

function example(path: string): Record<string, string> {
  return below(path, {
    as: 'The operator who asks.',
    approvedBy: 'Operators who have countersigned.',
    node: 'The name of the node.',
    tags: 'The tags of the node.',
    'tags.*': 'The value of the tag.',
    cmd: 'The command, in one piece.',
  });
}

function below(path: string, keys: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(keys).map(([key, text]) => [key === '' ? path : `${path}.${key}`, text]),
  );
}
