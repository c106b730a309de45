import { expect, test } from 'vitest';
import { mayAnyoneAsk } from '../../src/policy/queries.ts';
import { policyOf } from './fixtures.ts';

const policyWith = (...queries: string[]) => policyOf('  []', `queries: [${queries.join(', ')}]`);

test("only a query that the policy names for any is everybody's", () => {
  const policy = policyWith('{ name: load, from: any }', '{ name: secret, operators: ["group:sre"] }');
  expect(mayAnyoneAsk(policy, 'load')).toBe(true);
  for (const name of ['secret', 'Load', 'loa', 'load ', '', '*'])
    expect(mayAnyoneAsk(policy, name)).toBe(false);
  expect(mayAnyoneAsk(policyOf('  []'), 'load')).toBe(false);
});

test('a name is no pattern', () => {
  expect(mayAnyoneAsk(policyWith('{ name: "*", from: any }'), 'load')).toBe(false);
});

test.each([
  ['{ name: load }', 'does not say who may ask it'],
  ['{ name: load, from: any, operators: [alice] }', 'exclude each other'],
  ['{ name: load, from: all }', 'must be any'],
  ['{ name: load, operators: [carol] }', 'there is no operator "carol"'],
  ['{ name: load, operators: [] }', 'is an empty list'],
  ['{ name: "", from: any }', 'is empty'],
  ['{ name: fanout, from: any }', 'between agents'],
  ['{ name: _serf_ping, from: any }', 'between agents'],
  ['{ name: load, from: any }, { name: load, from: any }', 'named twice'],
  ['{ name: load, form: any }', 'unknown key "form"'],
  ['load', 'must be a mapping'],
])('%s is refused, with the place', (query, message) => {
  expect(() => policyWith(query)).toThrow(
    expect.objectContaining({ code: 'POLICY_INVALID', message: expect.stringMatching(message) }),
  );
  expect(() => policyWith(query)).toThrow(/test\.yaml:\d+: /);
});
