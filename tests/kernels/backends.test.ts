import { cpu } from '../../src/kernels/cpu/index.ts';
import { reference } from '../../src/kernels/reference/index.ts';
import { backendConformance } from './conformance.ts';

backendConformance('reference', reference);
backendConformance('cpu', cpu);
