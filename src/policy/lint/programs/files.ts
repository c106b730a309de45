import type { ProgramFacts } from '../facts.ts';

const content = (from: number) => ({ from, shows: 'content' }) as const;
const names = (from: number) => ({ from, shows: 'names' }) as const;

/** Programs that read, list, search and write files. */
export const FILE_PROGRAMS: readonly ProgramFacts[] = [
  {
    names:
      'tee dd cp mv ln link install truncate shred rm rmdir unlink mkdir mkfifo mknod mktemp touch chmod chown chgrp chattr setfacl setfattr setcap split csplit patch dos2unix unix2dos sponge fallocate rename prename mkfs* mke2fs mkswap fdisk sfdisk cfdisk gdisk sgdisk parted wipefs blkdiscard fsck* e2fsck tune2fs resize2fs debugfs hdparm useradd userdel usermod adduser deluser addgroup delgroup groupadd groupdel groupmod gpasswd passwd chpasswd chage chsh chfn newusers update-alternatives ldconfig ar',
    does: 'writes',
  },
  {
    names: 'find',
    hasWordOptions: true,
    options: {
      starts: '=-exec =-execdir =-ok =-okdir',
      writes: '=-delete =-fprint =-fprint0 =-fprintf =-fls',
      reads: '=-files0-from',
    },
    valued:
      '-name -iname -type -xtype -maxdepth -mindepth -mtime -atime -ctime -mmin -amin -cmin -size -user -group -perm -path -ipath -wholename -regex -iregex -regextype -newer -links -inum -uid -gid -fstype -samefile -printf -lname -D',
    paths: names(0),
  },
  {
    names: 'locate plocate mlocate',
    options: { reads: '-d --database' },
    valued: '-l -n -d --limit',
  },
  {
    names: 'tar bsdtar',
    options: {
      starts:
        '--checkpoint-action --to-command -I --use-compress-program -F --info-script --new-volume-script --rsh-command --rmt-command .I .F ~[!/=-]*:*',
      writes:
        '-x --extract --get -c --create -r --append -u --update -A --catenate --concatenate --delete .x .c .r .u .A',
      reads: '-T --files-from -X --exclude-from .T .X',
    },
    valued:
      '-f --file -C --directory -T --files-from -X --exclude-from -I -F -b -H -K -N -V --exclude --strip-components .f .C .T .X .I .F .b .H .K .N .V',
    paths: content(1),
  },
  { names: 'cpio pax', options: { starts: '--to-command --rsh-command' }, does: 'writes' },
  {
    names: 'rsync',
    does: 'writes',
    options: {
      starts: '-e --rsh --rsync-path --daemon',
      reads: '--files-from --password-file --exclude-from',
    },
  },
  { names: 'zip', does: 'writes', options: { starts: '-TT --unzip-command' } },
  { names: 'unzip 7z 7za 7zr unrar', does: 'writes', unless: '-l -t -v -Z =l =t', paths: content(0) },
  {
    names: 'gzip bzip2 xz lzma zstd lz4 lzop brotli pigz gunzip bunzip2 unxz unlzma unzstd unlz4',
    does: 'writes',
    unless: '-l -t -c --list --test --stdout',
    paths: content(0),
  },
  { names: 'cat tac rev zcat bzcat xzcat lzcat zstdcat lz4cat', paths: content(0) },
  {
    names:
      'nl od hexdump hd strings cut paste join comm cmp fold fmt expand unexpand pr base64 base32 basenc ul column look tsort sum zdiff zcmp colordiff bat batcat',
    valued:
      '-d -f -c -b -w -s -t -o -i -n -j -A -N -e -1 -2 -v -l --delimiter --fields --bytes --characters --output --length --lines --width --format',
    complete: '--output',
    paths: content(0),
  },
  { names: 'head', valued: '-n -c --lines --bytes', paths: content(0) },
  {
    names: 'tail',
    options: { endless: '-f -F --follow --retry' },
    valued: '-n -c -s --lines --bytes --pid --sleep-interval --max-unchanged-stats',
    paths: content(0),
  },
  {
    names: 'xxd',
    options: { writes: '-r' },
    valued: '-l -s -c -g -o',
    hasWordOptions: true,
    at: { from: 1, harm: 'writes' },
    paths: content(0),
  },
  {
    names: 'uniq',
    valued: '-f -s -w --skip-fields --skip-chars --check-chars',
    at: { from: 1, harm: 'writes' },
    paths: content(0),
  },
  { names: 'ptx', at: { from: 1, harm: 'writes' }, options: { reads: '-i -o -b' }, paths: content(0) },
  {
    names: 'sort',
    options: { writes: '-o --output', starts: '--compress-program', reads: '--files0-from --random-source' },
    valued: '-k -t -S -T -o --key --field-separator --buffer-size --parallel --sort --output',
    paths: content(0),
  },
  {
    names: 'shuf',
    options: { writes: '-o --output', reads: '--random-source' },
    valued: '-n -i -o --head-count --input-range --output',
    paths: content(0),
  },
  { names: 'iconv', options: { writes: '-o --output' }, valued: '-f -t -o', paths: content(0) },
  { names: 'wc', options: { reads: '--files0-from' }, paths: names(0) },
  {
    names: 'diff diff3 sdiff',
    options: {
      writes: '-o --output',
      reads: '--from-file --to-file -X --exclude-from',
      starts: '--diff-program',
    },
    valued: '-U -C -I -F -x --unified --context',
    paths: content(0),
  },
  {
    names: 'grep egrep fgrep rgrep zgrep zegrep zfgrep bzgrep xzgrep',
    options: { reads: '-f --file --exclude-from' },
    valued:
      '-e -f -m -A -B -C -D -d --regexp --max-count --after-context --before-context --context --include --exclude --exclude-dir --color --colour --label --binary-files',
    paths: content(1),
  },
  {
    names: 'rg ag ack pcregrep',
    options: { starts: '--pre --pager --hostname-bin', reads: '-f --file --ignore-file' },
    valued: '-e -m -A -B -C -g -t -T --max-count --context --glob --type',
    paths: content(1),
  },
  {
    names: 'sed gsed',
    options: { writes: '-i --in-place', starts: '-f --file' },
    valued: '-e -f -l --expression --file --line-length',
    code: {
      at: { from: 0, to: 0 },
      after: '-e --expression',
      // Lines by number, and replacements without the flags that execute or write.
      safe: /^(?:\d+|\$)?(?:,(?:\d+|\$))?[pdq=]$|^s([/|#,])(?:(?!\1)[^\\])*\1(?:(?!\1)[^\\])*\1[gpiI\d]*$/,
    },
    paths: content(1),
  },
  {
    names: 'jq yq gojq',
    options: {
      reads: '-f --from-file --slurpfile --rawfile --argfile -L',
      writes: '-i --inplace',
    },
    valued: '--arg --argjson --indent',
    complete: '--arg',
    paths: content(1),
  },
  {
    names: 'xmllint xsltproc',
    options: { writes: '--output -o', starts: '--shell', reads: '--path --load-trace --dtdvalid --schema' },
    paths: content(0),
  },
  {
    names: 'ls dir vdir exa eza',
    options: { terminal: '--hyperlink' },
    valued: '-I -w -T --time-style --sort --time --format --block-size --color --hide --ignore',
    paths: names(0),
  },
  {
    names: 'tree',
    options: { writes: '-o', reads: '--fromfile --info' },
    valued: '-L -P -I',
    paths: names(0),
  },
  {
    names: 'du',
    options: { reads: '--files0-from -X --exclude-from' },
    valued: '-d -t -B --max-depth --threshold --block-size --exclude --time-style',
    complete: '--exclude',
    paths: names(0),
  },
  {
    names: 'df',
    valued: '-t -x -B --type --exclude-type --block-size --output',
    paths: names(0),
  },
  {
    names: 'stat readlink realpath namei lsattr getfacl getfattr getcap test [ lsof mountpoint',
    valued: '-c --format --printf -p -u -i -g -c -F -d -s -n',
    options: { endless: '-r +r' },
    paths: names(0),
  },
  {
    names: 'file',
    options: { reads: '-f --files-from -m --magic-file', writes: '-C --compile' },
    valued: '-e -F -P',
    paths: names(0),
  },
  {
    names: 'md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum shasum',
    options: { reads: '-c --check' },
    valued: '-a -l --algorithm',
    paths: names(0),
  },
  {
    names: 'sqlite3 sqlite',
    options: { starts: '=-init =-cmd =-A --init --cmd', writes: '=-archive --archive' },
    hasWordOptions: true,
    code: { at: { from: 1, to: 99 }, safe: /^select [^;]*;?$/i },
    paths: content(0),
  },
  { names: 'basename dirname pathchk pwd', valued: '-s --suffix' },
];
