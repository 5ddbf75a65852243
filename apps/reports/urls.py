"""Where the pages of this app are."""

from django.urls import path

from . import views

app_name = "reports"
urlpatterns = [
    path("", views.home, name="home"),
    path("reports/<uuid:report_id>/", views.detail, name="detail"),
    path("reports/<uuid:report_id>/progress.json", views.progress, name="progress"),
    path("reports/<uuid:report_id>/report.json", views.download, name="download"),
    path("reports/<uuid:report_id>/delete/", views.delete, name="delete"),
]
