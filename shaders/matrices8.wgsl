// Cooperative matrices of 8x8, a subgroup of eight lanes each: what the software driver has (Mesa 26).

const MATRIX: u32 = 8u;
const LANES: u32 = 8u;

alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sums = coop_mat8x8<f32, C>;
