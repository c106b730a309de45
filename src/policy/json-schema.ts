import { DESCRIPTIONS } from './json-schema-descriptions.ts';
import { policySchema } from './schema.ts';

/** A schema in JSON schema's words. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * The JSON schema (draft 2020-12) of policy files, made from the schema that reads them. It lets through what only the
 * whole file shows to be wrong, and refuses nothing that a node takes.
 */
export function policyJsonSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'A policy of fanout',
    ...translate(policySchema, []),
  };
}

/** Translates a schema of valibot. `path`: the keys down to it, `*` for any key of a mapping. */
function translate(schema: object, path: readonly string[]): Record<string, unknown> {
  const steps = property(schema, 'pipe');
  if (!Array.isArray(steps)) return { ...described(path), ...translateOne(schema, path) };
  const result: Record<string, unknown> = { ...described(path) };
  let isTransformed = false;
  for (const step of steps.filter(isObject)) {
    const kind = property(step, 'kind');
    if (kind === 'schema') {
      Object.assign(result, translate(step, path));
      isTransformed ||= transforms(step);
    } else if (kind === 'metadata') {
      Object.assign(result, toldBy(step, path));
    } else if (property(step, 'type') === 'transform') {
      isTransformed = true;
    } else if (!isTransformed) {
      // What is checked behind a transformation is about its result, which no file has.
      Object.assign(result, checkedBy(step, result));
    }
  }
  return result;
}

/** Whether what comes out of a schema may be something else than what went in. */
function transforms(schema: object): boolean {
  const steps = property(schema, 'pipe');
  if (!Array.isArray(steps)) return false;
  const others = steps.filter(isObject).filter((step) => step !== schema);
  return others.some((step) => property(step, 'type') === 'transform' || transforms(step));
}

function described(path: readonly string[]): Record<string, unknown> {
  const description = DESCRIPTIONS[path.join('.')];
  return description === undefined ? {} : { description };
}

function translateOne(schema: object, path: readonly string[]): Record<string, unknown> {
  const type = property(schema, 'type');
  switch (type) {
    case 'string':
    case 'number':
    case 'boolean':
      return { type };
    case 'literal':
      return { const: property(schema, 'literal') };
    case 'picklist':
      return { enum: property(schema, 'options') };
    case 'array':
      return { type: 'array', items: translate(child(schema, 'item'), path) };
    case 'optional':
      return translate(child(schema, 'wrapped'), path);
    case 'record': {
      const { type: _, ...key } = translate(child(schema, 'key'), []);
      const names = Object.keys(key).length === 0 ? {} : { propertyNames: key };
      const additionalProperties = translate(child(schema, 'value'), [...path, '*']);
      return { type: 'object', ...names, additionalProperties };
    }
    case 'strict_object':
      return translateObject(child(schema, 'entries'), path);
    default:
      // `custom` says with a better message what the step behind it says, and `lazy` has its forms beside it.
      return {};
  }
}

function translateObject(entries: object, path: readonly string[]): Record<string, unknown> {
  const properties: Record<string, unknown> = {};
  const required: string[] = [];
  for (const [key, entry] of Object.entries(entries)) {
    if (!isObject(entry)) continue;
    properties[key] = translate(entry, [...path, key]);
    if (property(entry, 'type') !== 'optional') required.push(key);
  }
  return {
    type: 'object',
    properties,
    ...(required.length === 0 ? {} : { required }),
    additionalProperties: false,
  };
}

function checkedBy(step: object, so: Record<string, unknown>): Record<string, unknown> {
  const requirement = property(step, 'requirement');
  switch (property(step, 'type')) {
    case 'regex':
      return requirement instanceof RegExp ? { pattern: requirement.source } : {};
    case 'integer':
      return { type: 'integer' };
    case 'min_value':
      return { minimum: requirement };
    case 'max_value':
      return { maximum: requirement };
    case 'min_length':
      return so.type === 'array' ? { minItems: requirement } : { minLength: requirement };
    case 'max_length':
      return so.type === 'array' ? { maxItems: requirement } : { maxLength: requirement };
    default:
      return {};
  }
}

/** What is said beside a schema: keywords as they are, or the forms between which a function chooses. */
function toldBy(step: object, path: readonly string[]): Record<string, unknown> {
  const metadata = property(step, 'metadata');
  if (!isObject(metadata)) return {};
  const [keywords, forms] = [property(metadata, 'keywords'), property(metadata, 'forms')];
  const anyOf = Array.isArray(forms)
    ? forms.filter(isObject).map((form) => undescribed(form, path))
    : undefined;
  return { ...(isObject(keywords) ? keywords : {}), ...(anyOf === undefined ? {} : { anyOf }) };
}

/** The description stands above the forms already. */
function undescribed(form: object, path: readonly string[]): Record<string, unknown> {
  const { description: _, ...rest } = translate(form, path);
  return rest;
}

function child(schema: object, key: string): object {
  const value = property(schema, key);
  return isObject(value) ? value : {};
}

function property(value: object, key: string): unknown {
  return Reflect.get(value, key);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
