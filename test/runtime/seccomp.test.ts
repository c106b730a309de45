import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seccompFilter } from '../../src/runtime/seccomp.ts';
import { AUDIT_ARCH, INSPECTED_CALLS, REFUSED_CALLS } from '../../src/runtime/seccomp-table.ts';

const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const EPERM = 0x50001;
const ENOSYS = 0x50026;
const EAFNOSUPPORT = 0x50061;

interface Call {
  readonly arch: number;
  readonly number: number;
  readonly arg0?: number;
}

/** The part of the kernel's classic BPF machine that the filter uses. */
function judge(program: Uint8Array, call: Call): number {
  const view = Buffer.from(program);
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call.number, 0);
  data.writeUInt32LE(call.arch, 4);
  data.writeUInt32LE((call.arg0 ?? 0) >>> 0, 16);
  let accumulator = 0;
  for (let at = 0; at * 8 < view.length; at++) {
    const opcode = view.readUInt16LE(at * 8);
    const operand = view.readUInt32LE(at * 8 + 4);
    const jump = (holds: boolean): void => {
      at += view.readUInt8(at * 8 + (holds ? 2 : 3));
    };
    if (opcode === 0x20) accumulator = data.readUInt32LE(operand);
    else if (opcode === 0x15) jump(accumulator === operand);
    else if (opcode === 0x35) jump(accumulator >= operand);
    else if (opcode === 0x45) jump((accumulator & operand) !== 0);
    else if (opcode === 0x06) return operand;
    else throw new Error(`opcode ${opcode} at ${at}`);
  }
  throw new Error('the program ran off its end');
}

describe.each(['x64', 'arm64'] as const)('the filter for %s', (machine) => {
  const column = machine === 'x64' ? 0 : 1;
  const arch = AUDIT_ARCH[machine];
  const filter = seccompFilter(machine, 'none')!;
  const hostFilter = seccompFilter(machine, 'host')!;
  const refused = Object.entries(REFUSED_CALLS).flatMap(([name, numbers]) => {
    const number = numbers[column];
    return number === null ? [] : [{ name, number }];
  });
  const special: readonly number[] = Object.values(INSPECTED_CALLS).map((numbers) => numbers[column]);

  test('refuses each call of the list', () => {
    for (const { name, number } of refused) expect(judge(filter, { arch, number }), name).toBe(EPERM);
  });

  test('allows every other call, whatever its argument', () => {
    const others = fc.integer({ min: 0, max: 600 }).filter((number) => {
      return !special.includes(number) && refused.every((call) => call.number !== number);
    });
    fc.assert(
      fc.property(others, fc.nat(0xffffffff), (number, arg0) => {
        expect(judge(filter, { arch, number, arg0 })).toBe(ALLOW);
      }),
    );
  });

  test('lets a process fork and make threads, but no namespaces', () => {
    const number = INSPECTED_CALLS.clone[column];
    const thread = 0x003d0f00;
    expect(judge(filter, { arch, number, arg0: 17 })).toBe(ALLOW);
    expect(judge(filter, { arch, number, arg0: thread })).toBe(ALLOW);
    for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
      expect(judge(filter, { arch, number, arg0: flag | 17 })).toBe(EPERM);
    }
    expect(judge(filter, { arch, number: INSPECTED_CALLS.clone3[column] })).toBe(ENOSYS);
  });

  test('allows the socket families that a network namespace divides, and with the host also unix', () => {
    const number = INSPECTED_CALLS.socket[column];
    const allowed = (program: Uint8Array): number[] => {
      const answers = Array.from({ length: 64 }, (_, arg0) => judge(program, { arch, number, arg0 }));
      expect(answers.every((answer) => answer === ALLOW || answer === EAFNOSUPPORT)).toBe(true);
      return [...answers.entries()].filter(([, answer]) => answer === ALLOW).map(([family]) => family);
    };
    expect(allowed(filter)).toEqual([2, 10, 16]);
    expect(allowed(hostFilter)).toEqual([1, 2, 10, 16]);
  });

  test('kills a program that calls through another table', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.nat(600), (other, number) => {
        fc.pre(other !== arch);
        expect(judge(filter, { arch: other, number })).toBe(KILL);
      }),
    );
  });

  test('is whole instructions and of a length that the kernel takes', () => {
    expect(filter.length % 8).toBe(0);
    expect(filter.length / 8).toBeLessThan(4096);
  });
});

test('calls of the x32 table do not exist', () => {
  const filter = seccompFilter('x64', 'none')!;
  for (const number of [0x40000000, 0x40000065, 0xffffffff]) {
    expect(judge(filter, { arch: AUDIT_ARCH.x64, number })).toBe(ENOSYS);
  }
});

test('there is no filter for a processor without a table', () => {
  for (const arch of ['ia32', 'arm', 'riscv64', 's390x', ''])
    expect(seccompFilter(arch, 'none')).toBeUndefined();
});

const HEADERS = [
  { file: '/usr/include/x86_64-linux-gnu/asm/unistd_64.h', column: 0 },
  { file: '/usr/include/asm-generic/unistd.h', column: 1 },
] as const;

test.each(HEADERS)('the numbers are those of $file', ({ file, column }) => {
  if (!existsSync(file)) {
    console.info(`${file} is not installed (linux-libc-dev), so the numbers are not compared with it`);
    return;
  }
  const numbers = new Map<string, number>();
  for (const [, name, number] of readFileSync(file, 'utf8').matchAll(
    /#define __NR(?:3264)?_(\w+)\s+(\d+)/g,
  )) {
    numbers.set(name!, Number(number));
  }
  for (const [name, pair] of Object.entries({ ...REFUSED_CALLS, ...INSPECTED_CALLS })) {
    expect(numbers.get(name) ?? null, name).toBe(pair[column]);
  }
});
