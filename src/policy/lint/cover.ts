import type { Grammar, Slot } from '../grammar.ts';
import type { AllowedCommand, AllowRule } from '../policy.ts';
import { selectorText } from '../selector.ts';
import { isExact, type Token } from '../tokens.ts';

/**
 * Whether everything that the later rule allows is allowed by the earlier one already, to the same people on the same
 * nodes. False also where it is so and cannot be shown easily.
 */
export function covers(earlier: AllowRule, later: AllowRule): boolean {
  if (earlier.approvals !== undefined) return false;
  if (!coversConditions(earlier, later)) return false;
  return later.commands.every((command) => earlier.commands.some((other) => coversCommand(other, command)));
}

/** Whether a rule holds for everybody and everywhere where another one does. */
export function coversConditions(
  wide: Pick<AllowRule, 'conditions'>,
  narrow: Pick<AllowRule, 'conditions'>,
): boolean {
  const [a, b] = [wide.conditions, narrow.conditions];
  if (a.operators !== undefined && b.operators?.every((entry) => a.operators?.includes(entry)) !== true) {
    return false;
  }
  for (const [tag, patterns] of a.tags) {
    const others = b.tags.get(tag);
    if (others === undefined) return false;
    const areCovered = others.every(
      ({ text }) => patterns.some((pattern) => pattern.text === text) || isLiteralWithin(text, patterns),
    );
    if (!areCovered) return false;
  }
  if (a.select === undefined) return true;
  return b.select !== undefined && selectorText(a.select) === selectorText(b.select);
}

function isLiteralWithin(
  text: string,
  patterns: readonly { matches: (value: string) => boolean }[],
): boolean {
  return !/[*?[\]]/.test(text) && patterns.some(({ matches }) => matches(text));
}

function coversCommand(wide: AllowedCommand, narrow: AllowedCommand): boolean {
  if (wide.program !== narrow.program) return false;
  // Another file under the same name is another command.
  if (wide.path !== narrow.path) return false;
  return coversGrammar(wide.grammar, narrow.grammar);
}

function coversGrammar(wide: Grammar, narrow: Grammar): boolean {
  if (wide.form === 'sequence' && narrow.form === 'sequence') {
    return (
      wide.slots.length === narrow.slots.length &&
      narrow.slots.every((slot, index) => coversSlot(wide.slots[index] ?? [], slot))
    );
  }
  if (wide.form !== 'options' || narrow.form !== 'options') return false;
  const haveFlags = [...narrow.flags].every((flag) => wide.flags.has(flag));
  const haveOptions = [...narrow.options].every(([name, slot]) =>
    coversSlot(wide.options.get(name) ?? [], slot),
  );
  const areFirst =
    wide.first.length === narrow.first.length &&
    narrow.first.every((slot, index) => coversSlot(wide.first[index] ?? [], slot));
  const { min, max, slot } = narrow.rest;
  const isRest =
    wide.rest.min <= min && wide.rest.max >= max && (max === 0 || coversSlot(wide.rest.slot, slot));
  return haveFlags && haveOptions && areFirst && isRest;
}

function coversSlot(wide: Slot, narrow: Slot): boolean {
  return narrow.every((token) => wide.some((other) => coversToken(other, token)));
}

function coversToken(wide: Token, narrow: Token): boolean {
  if (wide.text === narrow.text) return true;
  // A path is checked once more where it really leads, which a plain text is not.
  return isExact(narrow) && !wide.isPath && wide.accepts(narrow.text);
}
