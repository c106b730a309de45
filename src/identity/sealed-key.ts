import { createHash, randomBytes, scryptSync } from 'node:crypto';
import nacl from 'tweetnacl';
import { concatBytes, equalBytes, utf8 } from '../lib/bytes.ts';
import { FanoutError } from '../lib/errors.ts';
import { ED25519_KEY_BYTES, ed25519PublicKey } from './ed25519.ts';
import { formatPublicLine, type PrivateKey, parsePublicLine } from './ssh-key.ts';

// An operator's key under a passphrase. OpenSSH's own form needs bcrypt-pbkdf, which the platform does not have.
//
//   -----BEGIN FANOUT SEALED KEY-----
//   kdf: scrypt 131072 8 1               N, r, p
//   salt: 32 bytes in base64
//   public: ssh-ed25519 AAAA... name     as in a .pub file, so that the key can be shown without the passphrase
//
//   base64 of a nonce (24 bytes) and the secretbox (XSalsa20, Poly1305) of what follows, under scrypt(passphrase, salt):
//   SHA-256 of the three lines above, each with its line end, and the 32 bytes of the Ed25519 seed
//   -----END FANOUT SEALED KEY-----

const BEGIN = '-----BEGIN FANOUT SEALED KEY-----';
const END = '-----END FANOUT SEALED KEY-----';

/** What is written: half a second and 128 MiB for each guess. */
const SCRYPT_N = 2 ** 17;
/** What is read at most, twice that: a file must not be able to eat the memory. */
const SCRYPT_N_MAX = 2 ** 18;
const SCRYPT_R = 8;
const SCRYPT_P = 1;
/** Beside the 128 * N * r bytes that scrypt is about. */
const SCRYPT_MEMORY_SPARE = 1024 * 1024;

const SALT_BYTES = 32;
const HASH_BYTES = 32;
const BOX_BYTES = nacl.secretbox.nonceLength + nacl.secretbox.overheadLength + HASH_BYTES + ED25519_KEY_BYTES;
const BASE64_LINE = 70;

/** Below this, guessing is too easy, whatever scrypt costs. */
const PASSPHRASE_CHARACTERS_MIN = 8;
const PASSPHRASE_BYTES_MAX = 1024;

/** A key file under a passphrase. */
export interface SealedKey {
  /** What the file says. It is certain once the key is open. */
  readonly publicKey: Uint8Array;
  readonly comment: string;
  /**
   * The key, or undefined for a wrong passphrase. Takes half a second and 128 MiB. Throws FanoutError KEY_INVALID when
   * the passphrase is right and the lines above were changed.
   */
  open(passphrase: string): PrivateKey | undefined;
}

/** Whether a text is meant to be a sealed key. */
export function isSealedKey(text: string): boolean {
  return text.trimStart().startsWith(BEGIN);
}

/** What is wrong with a new passphrase, in a sentence; undefined when it will do. */
export function passphraseProblem(passphrase: string): string | undefined {
  if ([...passphrase].length < PASSPHRASE_CHARACTERS_MIN) {
    return `it must have at least ${PASSPHRASE_CHARACTERS_MIN} characters`;
  }
  if (utf8(passphrase).length > PASSPHRASE_BYTES_MAX) {
    return `it must have at most ${PASSPHRASE_BYTES_MAX} bytes`;
  }
  return undefined;
}

/** The text of a key file under a passphrase. Another one each time. */
export function sealPrivateKey(key: PrivateKey, passphrase: string): string {
  const salt = randomBytes(SALT_BYTES);
  const head = [
    `kdf: scrypt ${SCRYPT_N} ${SCRYPT_R} ${SCRYPT_P}`,
    `salt: ${salt.toString('base64')}`,
    `public: ${formatPublicLine(key.publicKey, key.comment)}`,
  ];
  const nonce = new Uint8Array(randomBytes(nacl.secretbox.nonceLength));
  const plain = concatBytes(hashOfHead(head), key.seed);
  const box = nacl.secretbox(plain, nonce, derive(passphrase, salt, SCRYPT_N));
  const body = Buffer.from(concatBytes(nonce, box)).toString('base64');
  const lines = body.match(new RegExp(`.{1,${BASE64_LINE}}`, 'g')) ?? [];
  return [BEGIN, ...head, '', ...lines, END, ''].join('\n');
}

/** Reads a sealed key without opening it. Throws FanoutError KEY_INVALID with what is wrong. */
export function parseSealedKey(text: string): SealedKey {
  const lines = text.trim().split(/\r?\n/);
  const [begin, kdf = '', saltLine = '', publicLine = '', blank, ...rest] = lines;
  if (begin !== BEGIN || rest.pop() !== END)
    throw damaged('its first or last line is missing, so it was cut');
  const cost = costOf(kdf);
  const salt = base64Of(/^salt: (\S+)$/.exec(saltLine)?.[1] ?? '', SALT_BYTES);
  if (salt === undefined) throw damaged('its salt is not 32 bytes in base64');
  if (!publicLine.startsWith('public: ')) throw damaged('its public key is missing');
  const { key: publicKey, comment } = parsePublicLine(publicLine.slice('public: '.length));
  const box = base64Of(rest.join(''), BOX_BYTES);
  if (blank !== '' || box === undefined) throw damaged(`its secret part is not ${BOX_BYTES} bytes in base64`);
  const hash = hashOfHead([kdf, saltLine, publicLine]);
  return {
    publicKey,
    comment,
    open: (passphrase) => {
      const plain = opened(box, derive(passphrase, salt, cost));
      if (plain === undefined) return undefined;
      const seed = plain.slice(HASH_BYTES);
      const isWhole = equalBytes(plain.subarray(0, HASH_BYTES), hash);
      if (!isWhole || !equalBytes(ed25519PublicKey(seed), publicKey)) {
        throw damaged('the lines above its secret part were changed');
      }
      return { seed, publicKey, comment };
    },
  };
}

/** N of scrypt. A lower one than is ever written helps whoever guesses, a higher one eats the memory of whoever asks. */
function costOf(line: string): number {
  const match = /^kdf: scrypt (\d{1,10}) (\d{1,10}) (\d{1,10})$/.exec(line);
  if (match === null) throw damaged('it does not say "kdf: scrypt N r p"');
  const [n = 0, r = 0, p = 0] = match.slice(1).map(Number);
  const isPower = Number.isInteger(Math.log2(n));
  if (isPower && n >= SCRYPT_N && n <= SCRYPT_N_MAX && r === SCRYPT_R && p === SCRYPT_P) return n;
  throw damaged(
    `its scrypt parameters are N=${n} r=${r} p=${p}; only N=${SCRYPT_N} or ${SCRYPT_N_MAX}, r=${SCRYPT_R} and p=${SCRYPT_P} are taken`,
  );
}

function hashOfHead(lines: readonly string[]): Uint8Array {
  const hash = createHash('sha256');
  for (const line of lines) hash.update(`${line}\n`);
  return Uint8Array.from(hash.digest());
}

function derive(passphrase: string, salt: Uint8Array, n: number): Uint8Array {
  const maxmem = 128 * n * SCRYPT_R + SCRYPT_MEMORY_SPARE;
  const cost = { N: n, r: SCRYPT_R, p: SCRYPT_P, maxmem };
  // NFC: the same letters from another keyboard are the same passphrase.
  return Uint8Array.from(scryptSync(utf8(passphrase.normalize('NFC')), salt, nacl.secretbox.keyLength, cost));
}

function opened(box: Uint8Array, key: Uint8Array): Uint8Array | undefined {
  const { nonceLength } = nacl.secretbox;
  return nacl.secretbox.open(box.subarray(nonceLength), box.subarray(0, nonceLength), key) ?? undefined;
}

function base64Of(text: string, length: number): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== length || bytes.toString('base64') !== text) return undefined;
  return Uint8Array.from(bytes);
}

function damaged(what: string): FanoutError {
  return new FanoutError('KEY_INVALID', `the sealed key file is damaged: ${what}`, {
    hint: 'Restore it from a copy, or make a new key with: fanout operator keygen --passphrase',
  });
}
