"""satgen.geometry against OpenCV, scipy and Embree."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import trimesh
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from satgen import geometry as g
from satgen.camera import Camera
from satgen.errors import InputError
from satgen.trajectory import TrajectoryConfig, default_distance, observe, pose_from_angles

Floats = NDArray[np.float64]

coordinate = st.floats(-1.0, 1.0)
quaternions = (
    st.tuples(coordinate, coordinate, coordinate, coordinate)
    .map(np.array)
    .filter(lambda q: np.linalg.norm(q) > 1e-3)
    .map(g.normalise)
)
points = st.tuples(*[st.floats(-50.0, 50.0)] * 3).map(np.array)


# --- rotations and poses ----------------------------------------------------------------------


@given(points, points)
def test_a_cross_product_is_numpys_to_the_last_bit(a: Floats, b: Floats) -> None:
    assert np.array_equal(g.cross(a, b), np.cross(a, b))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 3), st.integers(0, 3))
def test_pixels_move_from_window_to_window(w: int, h: int, x: int, y: int) -> None:
    to = (-1, 1, 12, 12)
    whole = np.arange(to[2] * to[3]).reshape(to[3], to[2])
    inside = whole[y : y + h, x + 1 : x + 1 + w].ravel()
    assert np.array_equal(g.moved(np.arange(w * h), (x, y + 1, w, h), to), inside)


@given(quaternions, quaternions, points)
def test_quaternion_algebra(p: Floats, q: Floats, x: Floats) -> None:
    matrix_p, matrix_q = g.quaternion_to_matrix(p), g.quaternion_to_matrix(q)
    scipys = Rotation.from_quat(p, scalar_first=True)
    assert np.abs(scipys.as_matrix() - matrix_p).max() < 1e-12
    assert np.abs(matrix_p @ matrix_p.T - np.eye(3)).max() < 1e-12
    product = g.quaternion_multiply(p, q)
    assert np.abs(g.quaternion_to_matrix(product) - matrix_p @ matrix_q).max() < 1e-12
    turned = g.quaternion_multiply(g.quaternion_multiply(p, [0.0, *x]), g.quaternion_conjugate(p))
    assert np.abs(turned[1:] - matrix_p @ x).max() < 1e-12 * (1.0 + np.abs(x).max())


@given(quaternions)
def test_quaternion_of_a_matrix(q: Floats) -> None:
    back = g.matrix_to_quaternion(g.quaternion_to_matrix(q))
    assert back[0] >= 0.0
    assert abs(np.linalg.norm(back) - 1.0) < 1e-12
    assert min(np.abs(back - q).max(), np.abs(back + q).max()) < 1e-12


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, np.pi - 1e-9, np.pi])
def test_quaternion_keeps_its_digits_at_every_angle(angle: float) -> None:
    rng = np.random.default_rng(1)
    axes = g.normalise(rng.normal(size=(200, 3)))
    axes = np.concatenate([axes, np.eye(3), -np.eye(3)])
    for axis in axes:
        matrix, _ = cv2.Rodrigues(angle * axis)
        assert np.abs(g.quaternion_to_matrix(g.matrix_to_quaternion(matrix)) - matrix).max() < 1e-12
        assert g.rotation_angle(matrix) == pytest.approx(angle, abs=1e-12)


def test_coordinate_rotations_and_angles_agree_with_opencv() -> None:
    for number, axis in enumerate("xyz"):
        for angle in (-2.5, 0.1, 3.0):
            vector = np.zeros(3)
            vector[number] = angle
            matrix, _ = cv2.Rodrigues(vector)
            ours = g.quaternion_to_matrix(g.axis_quaternion(axis, angle))
            assert np.abs(ours - matrix).max() < 1e-12
            assert g.geodesic(matrix, np.eye(3)) == pytest.approx(abs(angle), abs=1e-12)


def test_continuous_quaternions_undo_any_sign_flips() -> None:
    rng = np.random.default_rng(2)
    angle = np.linspace(0.0, 40.0, 500)
    smooth = g.quaternion_multiply(g.axis_quaternion("z", angle), g.axis_quaternion("x", angle / 3))
    flipped = smooth * rng.choice([-1.0, 1.0], 500)[:, None]
    fixed = g.continuous_quaternions(flipped)
    assert np.abs(fixed - smooth * (flipped[0] @ smooth[0])).max() < 1e-12
    assert g.continuous_quaternions(np.zeros((0, 4))).shape == (0, 4)


@given(quaternions, points, quaternions, points, points)
def test_pose_algebra(p: Floats, s: Floats, q: Floats, t: Floats, x: Floats) -> None:
    pose_i = g.make_pose(g.quaternion_to_matrix(p), s)
    pose_j = g.make_pose(g.quaternion_to_matrix(q), t)
    assert np.abs(g.invert_pose(pose_i) - np.linalg.inv(pose_i)).max() < 1e-10
    assert np.abs(g.compose(pose_i, pose_j, np.eye(4)) - pose_i @ pose_j).max() < 1e-10
    relative = g.relative_pose(pose_i, pose_j)
    in_i, in_j = g.transform(pose_i, x[None]), g.transform(pose_j, x[None])
    assert np.abs(g.transform(relative, in_i) - in_j).max() < 1e-9


def test_batches_equal_loops() -> None:
    rng = np.random.default_rng(3)
    q = g.normalise(rng.normal(size=(2, 3, 4)))
    shifts = rng.normal(size=(2, 3, 3)) + np.array([0.0, 0.0, 9.0])
    poses = g.make_pose(g.quaternion_to_matrix(q), shifts)
    clouds = rng.normal(size=(2, 3, 5, 3))
    K = Camera(64, 48, 70.0, 60.0, 30.0, 20.0).K
    K[0, 1] = 2.5  # skew
    pixels, depth = g.project(K, poses, clouds)
    back = g.backproject(K, poses, pixels, depth)
    inverses = g.invert_pose(poses)
    for i in range(2):
        for j in range(3):
            uv, z = g.project(K, poses[i, j], clouds[i, j])
            assert np.abs(uv - pixels[i, j]).max() < 1e-12
            assert np.abs(z - depth[i, j]).max() < 1e-12
            assert np.abs(g.invert_pose(poses[i, j]) - inverses[i, j]).max() < 1e-12
    assert np.abs(back - clouds).max() < 1e-12


# --- projection -------------------------------------------------------------------------------


@given(
    quaternions,
    st.integers(0, 2**32 - 1),
    st.floats(100.0, 3000.0),
    st.floats(100.0, 3000.0),
    st.floats(-100.0, 1000.0),
    st.floats(-100.0, 1000.0),
)
def test_projection_agrees_with_opencv(
    q: Floats, seed: int, fx: float, fy: float, cx: float, cy: float
) -> None:
    cloud = np.random.default_rng(seed).uniform(-5.0, 5.0, (20, 3))
    camera = Camera(512, 384, fx, fy, cx, cy)
    pose = g.make_pose(g.quaternion_to_matrix(q), [0.4, -0.7, 25.0])
    rvec = Rotation.from_quat(q, scalar_first=True).as_rotvec()  # cv2's loses digits near pi
    expected, _ = cv2.projectPoints(cloud, rvec, pose[:3, 3], camera.K, None)
    pixels, depth = g.project(camera.K, pose, cloud)
    assert np.abs(pixels - expected[:, 0]).max() < 1e-6
    assert np.abs(depth - (cloud @ pose[2, :3] + 25.0)).max() < 1e-12
    assert np.abs(g.backproject(camera.K, pose, pixels, depth) - cloud).max() < 1e-9


def test_points_behind_the_camera_have_no_pixel() -> None:
    camera = Camera.from_fov(64, 64, 30.0)
    pixels, depth = g.project(camera.K, np.eye(4), [[0, 0, 5], [0, 0, 0], [1, 1, -5]])
    assert depth.tolist() == [5.0, 0.0, -5.0]
    assert np.isfinite(pixels[0]).all() and np.isnan(pixels[1:]).all()
    nowhere = g.backproject(camera.K, np.eye(4), [[1, 1], [2, 2], [3, 3]], [0.0, -1.0, np.nan])
    assert np.isnan(nowhere).all()


# --- depth look-up ----------------------------------------------------------------------------


def plane_depth(camera: Camera, normal: Floats, offset: float) -> Floats:
    """Depth of the plane normal . x = offset, in front of the whole image."""
    return np.asarray(offset / (camera.rays() @ normal))


def test_depth_of_a_plane_is_exact_between_pixels() -> None:
    camera = Camera(40, 30, 60.0, 55.0, 17.0, 13.0)
    normal = np.array([0.5, -0.3, 0.9])
    depth = plane_depth(camera, normal, 20.0)
    rng = np.random.default_rng(0)
    uv = rng.uniform([0, 0], [39, 29], (500, 2))
    z, interpolated = g.sample_depth(depth, uv)
    rays = np.stack([(uv[:, 0] - 17.0) / 60.0, (uv[:, 1] - 13.0) / 55.0, np.ones(500)], axis=1)
    assert interpolated.all()
    assert np.abs(z - 20.0 / (rays @ normal)).max() < 1e-12


@given(st.floats(1.01, 3.0), st.integers(3, 16), st.booleans(), st.floats(-0.3, 0.3), st.data())
def test_depth_is_never_between_two_surfaces(
    ratio: float, column: int, upright: bool, tilt: float, data: st.DataObject
) -> None:
    camera = Camera(20, 20, 50.0, 50.0, 9.5, 9.5)
    near = plane_depth(camera, np.array([tilt, 0.1, 1.0]), 10.0)
    far = plane_depth(camera, np.array([-tilt, 0.0, 1.0]), 10.0 * ratio * 1.2)
    depth = far.copy()
    depth[:, :column] = near[:, :column]
    if not upright:
        near, far, depth = near.T, far.T, depth.T
    uv = np.array(data.draw(st.tuples(*[st.floats(-0.5, 19.49)] * 2)))
    z, _ = g.sample_depth(depth, uv[None])
    u0, v0 = np.clip(np.floor(uv).astype(int), 0, 18)

    def within(surface: Floats) -> bool:
        corners = surface[v0 : v0 + 2, u0 : u0 + 2]
        return bool(corners.min() - 1e-9 <= z[0] <= corners.max() + 1e-9)

    assert within(near) or within(far)


def test_thin_and_outlying_surfaces_are_looked_up_at_the_nearest_pixel() -> None:
    depth = np.full((8, 8), 20.0)
    depth[:, 4] = 10.0  # a strut one pixel wide
    z, interpolated = g.sample_depth(depth, [[3.4, 2.2], [3.6, 2.2], [4.4, 2.2], [4.6, 2.2]])
    assert z.tolist() == [20.0, 10.0, 10.0, 20.0]
    assert not interpolated.any()
    depth[:, 4] = 0.0
    z, _ = g.sample_depth(depth, [[3.4, 2.2], [3.6, 2.2], [-0.5, 7.49], [-0.51, 0.0], [7.5, 0.0]])
    assert z.tolist() == [20.0, 0.0, 20.0, 0.0, 0.0]
    z, _ = g.sample_depth(depth, [[np.nan, 1.0], [np.inf, 1.0], [2.0, 3.0]])
    assert z.tolist() == [0.0, 0.0, 20.0]


def test_at_an_outline_depth_is_the_surface_in_fronts() -> None:
    depth = np.full((8, 8), 5.0)
    depth[:, :4] = 4.0  # the surface in front ends half way between columns 3 and 4
    depth[0] = 0.0
    uv = [[3.9, 4.2], [3.2, 4.2], [2.5, 4.2], [3.9, 0.5], [3.9, 0.0], [4.0, 4.0], [6.2, 0.9]]
    front, farthest = g.front_depth(depth, uv)
    assert front.tolist() == [4.0, 4.0, 4.0, 4.0, 0.0, 5.0, 5.0]
    assert farthest.tolist() == [5.0, 5.0, 4.0, 5.0, 0.0, 5.0, 5.0]
    assert np.array(g.front_depth(depth, [[np.nan, 1.0], [-0.6, 3.0], [8.0, 3.0]])).max() == 0.0

    # a low step is one surface: the pixel of it that is closest to the position
    depth[:, :4], depth[:, 4:] = 4.0, 4.004
    assert g.front_depth(depth, [[3.2, 4.2], [3.8, 4.2]])[0].tolist() == [4.0, 4.004]


def test_a_frame_shows_a_surface_point_beside_its_outline() -> None:
    depth = np.full((8, 8), 5.0)
    depth[:, :4] = 4.0
    uv = np.array([[3.9, 4.2], [3.9, 4.2], [3.9, 4.2], [6.0, 4.0], [3.1, 4.2], [9.0, 4.0]])
    z = np.array([4.0, 5.0, 3.0, 5.0, 4.0, 5.0])
    # in front; behind by the outline; before both; plain; by the outline, nearest pixel; outside
    assert g.shows(depth, uv, z).tolist() == [True, False, False, True, True, False]
    assert not g.shows(depth, uv, np.full(6, np.nan)).any()
    K, T = np.array([[9.0, 0.0, 3.5], [0.0, 9.0, 3.5], [0.0, 0.0, 1.0]]), np.eye(4)
    moved = g.warp(K, depth, T, depth, T, uv[:5], z=z[:5])
    assert moved.visible.tolist() == [False, False, False, True, True]
    assert moved.bordering.tolist() == [True, False, False, False, False]
    assert not moved.occluded.any()


def test_bad_positions_are_refused() -> None:
    for shape in ((3,), (4, 3)):
        with pytest.raises(InputError, match=r"must be \(\.\.\., N, 2\)"):
            g.sample_depth(np.ones((4, 4)), np.zeros(shape))


# --- warping, with Embree as the witness ------------------------------------------------------


class Witness:
    """Exact rays against a box, a sphere and a thin panel that hide each other."""

    def __init__(self) -> None:
        parts = [
            trimesh.creation.box((2.0, 3.0, 1.0)),
            trimesh.creation.icosphere(subdivisions=4).apply_translation((3.0, 0.5, 0.3)),
            trimesh.creation.box((0.05, 6.0, 0.8)).apply_translation((1.6, 0.0, 1.2)),
        ]
        mesh = trimesh.util.concatenate(parts)
        assert isinstance(mesh, trimesh.Trimesh)
        self.centre = mesh.bounds.mean(axis=0)
        self.radius = float(np.linalg.norm(mesh.vertices - self.centre, axis=1).max())
        self.scene = rtcore_scene.EmbreeScene()
        TriangleMesh(self.scene, np.ascontiguousarray(mesh.triangles, dtype=np.float32))

    def distances(self, origin: Floats, directions: Floats) -> Floats:
        """Distance along unit directions (N, 3) to the first surface; huge where there is none."""
        origins = np.ascontiguousarray(np.broadcast_to(origin, directions.shape), np.float32)
        rays = np.ascontiguousarray(directions, np.float32)
        return np.asarray(self.scene.run(origins, rays, query="DISTANCE"), dtype=np.float64)

    def depth(self, camera: Camera, pose: Floats, uv: Floats) -> Floats:
        """Depth along the rays through pixels uv (N, 2), 0 where they miss."""
        in_camera = np.stack(
            [(uv[:, 0] - camera.cx) / camera.fx, (uv[:, 1] - camera.cy) / camera.fy], axis=1
        )
        in_camera = np.concatenate([in_camera, np.ones((len(uv), 1))], axis=1)
        lengths = np.linalg.norm(in_camera, axis=1)
        directions = (in_camera / lengths[:, None]) @ pose[:3, :3]
        found = self.distances(-pose[:3, :3].T @ pose[:3, 3], directions)
        return np.where(found < 1e6, found / lengths, 0.0)


@dataclass(frozen=True)
class Pair:
    """Two rendered frames and, for every pixel of the first that has depth, the truth."""

    camera: Camera
    poses: Floats
    depths: Floats
    seen: NDArray[np.bool_]  # (H, W): frame i has depth
    cloud: Floats  # (N, 3) target-frame points of those pixels
    clear: NDArray[np.bool_]  # (N,): nothing lies between the point and camera j


@pytest.fixture(scope="module")
def witness() -> Witness:
    return Witness()


@pytest.fixture(scope="module", params=[(4000, 4020), (3000, 3030), (6000, 6090), (2000, 2001)])
def pair(request: pytest.FixtureRequest, witness: Witness) -> Pair:
    camera = Camera(320, 256, 700.0, 690.0, 150.0, 133.0)
    config = TrajectoryConfig(
        distance_m=default_distance(witness.radius, camera, 0.8), aim=tuple(witness.centre)
    )
    poses = observe(config, request.param).T_cam_target
    grid = g.pixel_grid(256, 320)
    depths = np.stack(
        [witness.depth(camera, pose, grid.reshape(-1, 2)).reshape(256, 320) for pose in poses]
    )
    seen = depths[0] > 0.0
    rays = camera.rays()[seen] * depths[0][seen][:, None]
    cloud = (rays - poses[0, :3, 3]) @ poses[0, :3, :3]
    centre = -poses[1, :3, :3].T @ poses[1, :3, 3]
    toward = cloud - centre
    reach = np.linalg.norm(toward, axis=1)
    first = witness.distances(centre, toward / reach[:, None])
    # Less than the occlusion test's own tolerance, more than single precision loses.
    return Pair(camera, poses, depths, seen, cloud, first > reach * (1.0 - g.OCCLUSION_RTOL))


def test_warp_lands_where_opencv_projects_the_surface(pair: Pair) -> None:
    warped = g.warp(pair.camera.K, pair.depths[0], pair.poses[0], pair.depths[1], pair.poses[1])
    rvec, _ = cv2.Rodrigues(pair.poses[1, :3, :3])
    expected, _ = cv2.projectPoints(pair.cloud, rvec, pair.poses[1, :3, 3], pair.camera.K, None)
    found = warped.uv[pair.seen.ravel()]
    assert np.abs(found - expected[:, 0]).max() < 1e-6
    assert np.isnan(warped.uv[~pair.seen.ravel()]).all()
    assert not warped.visible[~pair.seen.ravel()].any()
    assert not (warped.visible & warped.occluded).any()
    assert warped.in_frame[warped.visible | warped.occluded].all()


def test_occlusion_test_agrees_with_rays_to_the_other_camera(pair: Pair) -> None:
    warped = g.warp(pair.camera.K, pair.depths[0], pair.poses[0], pair.depths[1], pair.poses[1])
    row = pair.seen.ravel()
    in_frame, visible, occluded = (
        values[row] for values in (warped.in_frame, warped.visible, warped.occluded)
    )
    assert in_frame.mean() > 0.99
    assert not (visible & ~pair.clear).any()
    # A sliver that shows between four pixel centres is beyond a test on the depth map.
    assert (occluded & pair.clear).sum() <= 1e-3 * pair.clear.sum()
    # What it leaves undecided are the outlines, a pixel wide: a tenth of a scene this small.
    assert visible.sum() > 0.84 * (in_frame & pair.clear).sum()
    hidden = (in_frame & ~pair.clear).sum()
    assert occluded.sum() > 0.75 * hidden - 50


def test_surface_seen_at_the_warped_position_is_the_same(pair: Pair, witness: Witness) -> None:
    """A ray through each warped sub-pixel position meets the point that was warped."""
    warped = g.warp(pair.camera.K, pair.depths[0], pair.poses[0], pair.depths[1], pair.poses[1])
    rows = warped.visible
    depth = witness.depth(pair.camera, pair.poses[1], warped.uv[rows])
    assert np.abs(depth / warped.z[rows] - 1.0).max() < g.OCCLUSION_RTOL * 1.01
    there = g.backproject(pair.camera.K, pair.poses[1], warped.uv[rows], depth)
    off = np.linalg.norm(there - pair.cloud[rows[pair.seen.ravel()]], axis=1)
    assert np.quantile(off, 0.99) < 1e-3


def test_interpolated_depth_is_the_surfaces_own(pair: Pair, witness: Witness) -> None:
    uv = np.random.default_rng(5).uniform([-0.5, -0.5], [319.5, 255.5], (40_000, 2))
    z, interpolated = g.sample_depth(pair.depths[1], uv)
    truth = witness.depth(pair.camera, pair.poses[1], uv)
    assert interpolated.sum() > 1500
    both = interpolated & (truth > 0.0)
    assert both.sum() >= interpolated.sum() - 1
    error = np.abs(z[both] / truth[both] - 1.0)
    assert np.quantile(error, 0.99) < 1e-4
    assert error.max() < 4e-4


def test_sub_pixel_positions_warp_like_the_surface_under_them(pair: Pair, witness: Witness) -> None:
    uv = np.random.default_rng(6).uniform([0, 0], [319, 255], (20_000, 2))
    _, smooth = g.sample_depth(pair.depths[0], uv)
    warped = g.warp(pair.camera.K, pair.depths[0], pair.poses[0], pair.depths[1], pair.poses[1], uv)
    truth = witness.depth(pair.camera, pair.poses[0], uv)
    rows = smooth & warped.visible & (truth > 0.0)
    assert rows.sum() > 500
    cloud = g.backproject(pair.camera.K, pair.poses[0], uv[rows], truth[rows])
    expected, _ = g.project(pair.camera.K, pair.poses[1], cloud)
    assert np.quantile(np.linalg.norm(warped.uv[rows] - expected, axis=1), 0.99) < 0.05


def test_flow_and_its_masks(pair: Pair) -> None:
    flow = g.optical_flow(
        pair.camera.K, pair.depths[0], pair.poses[0], pair.depths[1], pair.poses[1]
    )
    expected, _ = g.project(pair.camera.K, pair.poses[1], pair.cloud)
    grid = g.pixel_grid(256, 320)
    assert np.abs(flow.flow[pair.seen] - (expected - grid[pair.seen])).max() < 1e-9
    assert np.isnan(flow.flow[~pair.seen]).all()
    assert flow.flow.shape == (256, 320, 2) and flow.valid.shape == (256, 320)
    assert not flow.valid[~pair.seen].any()
    assert not ((flow.visible | flow.occluded) & ~flow.valid).any()


def test_flow_to_itself_is_zero(pair: Pair) -> None:
    flow = g.optical_flow(
        pair.camera.K, pair.depths[0], pair.poses[0], pair.depths[0], pair.poses[0]
    )
    assert np.abs(flow.flow[pair.seen]).max() < 1e-9
    assert np.array_equal(flow.valid, pair.seen)
    assert flow.visible[pair.seen].all()
    assert not flow.occluded.any()


def test_flow_there_and_back_returns(pair: Pair) -> None:
    there = g.warp(pair.camera.K, pair.depths[0], pair.poses[0], pair.depths[1], pair.poses[1])
    rows = there.visible
    back = g.warp(
        pair.camera.K, pair.depths[1], pair.poses[1], pair.depths[0], pair.poses[0], there.uv[rows]
    )
    start = g.pixel_grid(256, 320).reshape(-1, 2)[rows]
    assert np.quantile(np.linalg.norm(back.uv - start, axis=1), 0.95) < 0.1


def test_batched_warp_equals_a_loop(pair: Pair) -> None:
    uv = np.random.default_rng(7).uniform(0, 255, (2, 300, 2))
    other = Camera(320, 256, 650.0, 640.0, 160.0, 120.0)
    batch = g.warp(
        pair.camera.K, pair.depths, pair.poses, pair.depths[::-1], pair.poses[::-1], uv, K_j=other.K
    )
    assert batch.uv.shape == (2, 300, 2) and batch.visible.shape == (2, 300)
    for i in range(2):
        one = g.warp(
            pair.camera.K,
            pair.depths[i],
            pair.poses[i],
            pair.depths[1 - i],
            pair.poses[1 - i],
            uv[i],
            K_j=other.K,
        )
        for name, values in vars(one).items():
            np.testing.assert_allclose(getattr(batch, name)[i], values, rtol=0, atol=1e-9)
    flow = g.optical_flow(
        pair.camera.K, pair.depths, pair.poses, pair.depths[::-1], pair.poses[::-1]
    )
    assert flow.flow.shape == (2, 256, 320, 2) and flow.visible.shape == (2, 256, 320)


def test_points_behind_the_other_camera_are_invalid() -> None:
    camera = Camera.from_fov(16, 16, 40.0)
    depth = np.full((16, 16), 5.0)
    behind = pose_from_angles(0.0, 0.0, 5.0)
    beyond = behind.copy()
    beyond[2, 3] = -5.0
    flow = g.optical_flow(camera.K, depth, behind, depth, beyond)
    assert not flow.valid.any()
    assert np.isnan(flow.flow).all()
