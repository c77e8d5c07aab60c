#version 330 core
// Visibility buffer: the primitive that the sample sees, plus one; zero is the background.
layout(location = 0) out uint primitive;
void main() { primitive = uint(gl_PrimitiveID) + 1u; }
