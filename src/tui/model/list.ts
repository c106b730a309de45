/** Where a list stands: the row under the cursor, and the first row on the screen. Rows are counted from 0. */
export interface ListPosition {
  readonly cursor: number;
  readonly top: number;
}

export const LIST_START: ListPosition = { cursor: 0, top: 0 };

export type ListMove = 'up' | 'down' | 'page-up' | 'page-down' | 'first' | 'last';

/** The position after a move in a list of `count` rows of which `height` are on the screen. */
export function moveList(
  position: ListPosition,
  move: ListMove,
  count: number,
  height: number,
): ListPosition {
  const page = Math.max(1, height - 1);
  const steps = { up: -1, down: 1, 'page-up': -page, 'page-down': page, first: -count, last: count };
  return settleList({ ...position, cursor: position.cursor + steps[move] }, count, height);
}

/** The position with the cursor on an existing row and that row on the screen. */
export function settleList(position: ListPosition, count: number, height: number): ListPosition {
  const cursor = Math.max(0, Math.min(position.cursor, count - 1));
  const rows = Math.max(1, height);
  const lowest = Math.max(0, count - rows);
  const top = Math.min(Math.max(position.top, cursor - rows + 1), cursor, lowest);
  return { cursor, top: Math.max(0, top) };
}
