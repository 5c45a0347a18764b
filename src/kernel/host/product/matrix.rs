//! What is multiplied: views of numbers as matrices.

use std::ops::Range;

/// A view of f32 numbers as a matrix.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` rows of `columns` numbers, `stride` apart.
    pub fn rows(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows == 0 || columns <= stride && (rows - 1) * stride + columns <= data.len());
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The same numbers with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Some rows and columns of it.
    #[inline(always)]
    pub(super) fn part(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        let from = rows.start * self.row_stride + columns.start * self.column_stride;
        // Where there are no terms there are no numbers.
        let data = self.data.get(from..).unwrap_or_default();
        Self { data, rows: rows.len(), columns: columns.len(), ..self }
    }

    /// The numbers from this element on.
    #[inline(always)]
    pub(super) fn from(&self, row: usize, column: usize) -> &'a [f32] {
        &self.data[row * self.row_stride + column * self.column_stride..]
    }
}

/// A product `a · b`, and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// The first matrix, m × k.
    pub a: Matrix<'a>,
    /// The second matrix, k × n; if its columns are contiguous, so are the rows of the first.
    pub b: Matrix<'a>,
    /// Added to every row of the result, `[n]`; or empty.
    pub bias: &'a [f32],
    /// Whether negative results become 0.
    pub relu: bool,
}

impl<'a> Product<'a> {
    /// `a · b` alone.
    pub fn new(a: Matrix<'a>, b: Matrix<'a>) -> Self {
        Self { a, b, bias: &[], relu: false }
    }

    /// m, k and n.
    pub(super) fn shape(&self) -> [usize; 3] {
        [self.a.rows, self.a.columns, self.b.columns]
    }

    /// Whether the product is one of contiguous vectors.
    pub(super) fn has_contiguous_columns(&self) -> bool {
        self.b.row_stride == 1 && self.b.column_stride != 1
    }
}
