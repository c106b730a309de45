/** Processor types that the filter is written for, in Node's names. */
export type FilterArch = 'x64' | 'arm64';

/** `AUDIT_ARCH_*` of linux/audit.h: the word by which the kernel tells a filter which system call table is meant. */
export const AUDIT_ARCH: Readonly<Record<FilterArch, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };

/** Numbers of the calls whose arguments the filter looks at: [x64, arm64], from the kernel's asm/unistd.h. */
export const INSPECTED_CALLS = {
  clone: [56, 220],
  clone3: [435, 435],
  socket: [41, 198],
} as const satisfies Record<string, readonly [number, number]>;

/**
 * Calls that no command for looking at a machine needs: [x64, arm64], null where the processor has no such call.
 * Most would be refused anyway for want of a capability. The filter is the last layer: a bug in one of them is then
 * out of reach. Calls that only read without a capability (adjtimex, name_to_handle_at) stay allowed, since ntp and
 * systemd tools use them.
 */
export const REFUSED_CALLS: Readonly<Record<string, readonly [number, number | null]>> = {
  // Other processes.
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  process_madvise: [440, 440],
  kcmp: [312, 272],
  pidfd_getfd: [438, 438],
  // Mounts and roots.
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  open_by_handle_at: [304, 265],
  // New namespaces, which give capabilities and with them much more of the kernel.
  unshare: [272, 97],
  setns: [308, 268],
  // Large, young or rarely used parts of the kernel with a history of holes.
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  fanotify_init: [300, 262],
  lookup_dcookie: [212, 18],
  modify_ldt: [154, null],
  uselib: [134, null],
  move_pages: [279, 239],
  migrate_pages: [256, 238],
  // The machine itself.
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  reboot: [169, 142],
  swapon: [167, 224],
  swapoff: [168, 225],
  acct: [163, 89],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  vhangup: [153, 58],
  syslog: [103, 116],
  iopl: [172, null],
  ioperm: [173, null],
};
