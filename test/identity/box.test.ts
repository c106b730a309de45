import nacl from 'tweetnacl';
import { expect, test } from 'vitest';
import { boxKeyPair, isWeakBoxKey, openBox, sealBox } from '../../src/identity/box.ts';
import { fromHex, utf8 } from '../../src/lib/bytes.ts';
import { seedOf } from './fixtures.ts';

const nonce = seedOf('nonce').subarray(0, 24);
const alice = boxKeyPair(seedOf('alice'));
const bob = boxKeyPair(seedOf('bob'));

test('a box opens for whom it is, from whom it is, and unchanged only', () => {
  const box = sealBox(utf8('text'), nonce, bob.publicKey, alice.secret);
  expect(openBox(box, nonce, alice.publicKey, bob.secret)).toEqual(utf8('text'));
  expect(openBox(box, nonce, bob.publicKey, bob.secret)).toBeUndefined();
  expect(openBox(box, seedOf('other').subarray(0, 24), alice.publicKey, bob.secret)).toBeUndefined();
  for (let offset = 0; offset < box.length; offset++) {
    const changed = Uint8Array.from(box);
    changed[offset]! ^= 0x10;
    expect(openBox(changed, nonce, alice.publicKey, bob.secret)).toBeUndefined();
  }
});

test('a box from a point of small order, which everybody could have made, does not open', () => {
  const points = [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000080',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  ].map((text) => fromHex(text)!);
  for (const point of points) {
    // Anybody's shared key with such a point is the same: an attacker needs no secret at all.
    const forged = nacl.box(utf8('text'), nonce, point, seedOf('anything'));
    expect(nacl.box.open(forged, nonce, point, bob.secret)).toEqual(utf8('text'));
    expect(openBox(forged, nonce, point, bob.secret)).toBeUndefined();
    expect(isWeakBoxKey(point)).toBe(true);
  }
  expect(isWeakBoxKey(alice.publicKey)).toBe(false);
});

test("boxes are tweetnacl's, byte for byte, both ways", () => {
  for (let i = 0; i < 20; i++) {
    const [a, b] = [boxKeyPair(seedOf(`a ${i}`)), boxKeyPair(seedOf(`b ${i}`))];
    expect(a.publicKey).toEqual(nacl.box.keyPair.fromSecretKey(a.secret).publicKey);
    const text = seedOf(`text ${i}`).subarray(0, i);
    const box = nacl.box(text, nonce, b.publicKey, a.secret);
    expect(sealBox(text, nonce, b.publicKey, a.secret)).toEqual(box);
    expect(openBox(box, nonce, a.publicKey, b.secret)).toEqual(text);
  }
});
