import { assert } from '../lib/assert.ts';
import { AUDIT_ARCH, type FilterArch, INSPECTED_CALLS, REFUSED_CALLS } from './seccomp-table.ts';

/** Opcodes of classic BPF, composed as in linux/bpf_common.h. */
const LOAD_WORD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const JUMP_BITS_SET = 0x45;
const RETURN = 0x06;

/** Offsets in the kernel's `struct seccomp_data`. The low half of an argument is first: both processors are little-endian. */
const OFFSET_NUMBER = 0;
const OFFSET_ARCH = 4;
const OFFSET_ARG0 = 16;

/** What the kernel does with a call: `SECCOMP_RET_*`, with the error number in the low bits. */
const ALLOW = 0x7fff0000;
const KILL_PROCESS = 0x80000000;
const ERRNO = 0x00050000;
const EPERM = ERRNO | 1;
const ENOSYS = ERRNO | 38;
const EAFNOSUPPORT = ERRNO | 97;

/** `CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET`. */
const CLONE_NEW_NAMESPACE = 0x7e020000;

/** Bit that marks a call of the x32 table, whose numbers the list does not cover. */
const X32_BIT = 0x40000000;

/**
 * IPv4, IPv6 and netlink, which a network namespace divides. All others are refused, first of all vsock: it reaches
 * the hypervisor from every namespace, so "no network" would not be true.
 */
const SOCKET_FAMILIES = [2, 10, 16];
/**
 * Unix sockets only come with the host's network, or where a rule opens one: a read-only mount does not stop a program from connecting to a
 * socket file, wherever in the tree a service keeps one.
 */
const UNIX_SOCKETS = 1;

/** A jump goes at most this far, so the program must stay shorter. */
const JUMP_MAX = 255;

type Verdict = 'allow' | 'kill' | 'eperm' | 'enosys' | 'family';
const VERDICTS: readonly (readonly [Verdict, number])[] = [
  ['allow', ALLOW],
  ['kill', KILL_PROCESS],
  ['eperm', EPERM],
  ['enosys', ENOSYS],
  ['family', EAFNOSUPPORT],
];

/** One step; `yes` and `no` name where a test goes, `next` being the following step. */
interface Step {
  readonly opcode: number;
  readonly operand: number;
  readonly yes?: Verdict | 'next' | number;
  readonly no?: Verdict | 'next' | number;
}

/**
 * The system call filter for a processor type, as the array of `struct sock_filter` that `bwrap --seccomp` reads;
 * undefined where there is no table for the processor. `hasSockets`: it is to reach unix sockets without a network too.
 */
export function seccompFilter(
  arch: string,
  network: 'none' | 'host',
  hasSockets = false,
): Uint8Array | undefined {
  const hasUnix = network === 'host' || hasSockets;
  return arch === 'x64' || arch === 'arm64' ? assemble(steps(arch, hasUnix)) : undefined;
}

function steps(arch: FilterArch, hasUnix: boolean): Step[] {
  const column = arch === 'x64' ? 0 : 1;
  const refused = Object.values(REFUSED_CALLS).flatMap((numbers) => numbers[column] ?? []);
  const families = hasUnix ? [UNIX_SOCKETS, ...SOCKET_FAMILIES] : SOCKET_FAMILIES;
  return [
    load(OFFSET_ARCH),
    // A 32-bit program would use other numbers for the same calls.
    test(JUMP_EQUAL, AUDIT_ARCH[arch], 'next', 'kill'),
    load(OFFSET_NUMBER),
    ...(arch === 'x64' ? [test(JUMP_AT_LEAST, X32_BIT, 'enosys', 'next')] : []),
    // The flags of clone3 are behind a pointer that a filter cannot follow. "No such call" makes libc use clone.
    test(JUMP_EQUAL, INSPECTED_CALLS.clone3[column], 'enosys', 'next'),
    ...refused.map((number) => test(JUMP_EQUAL, number, 'eperm', 'next')),
    test(JUMP_EQUAL, INSPECTED_CALLS.clone[column], 'next', 2),
    load(OFFSET_ARG0),
    test(JUMP_BITS_SET, CLONE_NEW_NAMESPACE, 'eperm', 'allow'),
    test(JUMP_EQUAL, INSPECTED_CALLS.socket[column], 'next', 'allow'),
    load(OFFSET_ARG0),
    ...families.map((family, i) =>
      test(JUMP_EQUAL, family, 'allow', i === families.length - 1 ? 'family' : 'next'),
    ),
  ];
}

function load(offset: number): Step {
  return { opcode: LOAD_WORD, operand: offset };
}

function test(
  opcode: number,
  operand: number,
  yes: NonNullable<Step['yes']>,
  no: NonNullable<Step['no']>,
): Step {
  return { opcode, operand, yes, no };
}

/** Resolves the jumps. The possible answers stand at the end, one instruction each. */
function assemble(program: readonly Step[]): Uint8Array {
  const length = program.length + VERDICTS.length;
  assert(length <= JUMP_MAX, 'the filter is short enough for one-byte jumps');
  const bytes = new Uint8Array(length * 8);
  const view = new DataView(bytes.buffer);
  const write = (index: number, opcode: number, yes: number, no: number, operand: number): void => {
    view.setUint16(index * 8, opcode, true);
    view.setUint8(index * 8 + 2, yes);
    view.setUint8(index * 8 + 3, no);
    view.setUint32(index * 8 + 4, operand >>> 0, true);
  };
  const distance = (from: number, to: Step['yes']): number => {
    if (to === undefined || to === 'next') return 0;
    if (typeof to === 'number') return to;
    return program.length + VERDICTS.findIndex(([verdict]) => verdict === to) - from - 1;
  };
  for (const [index, step] of program.entries()) {
    write(index, step.opcode, distance(index, step.yes), distance(index, step.no), step.operand);
  }
  for (const [index, [, answer]] of VERDICTS.entries()) {
    write(program.length + index, RETURN, 0, 0, answer);
  }
  return bytes;
}
